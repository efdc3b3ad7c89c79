//! Time that passes unnoticed: the machine sleeps, a virtual machine is paused, the clock is set. The daemon runs under a
//! small library that moves its clocks, as sleep and other hands would.

mod leap;
mod moved;
mod sleep;
