//! What a program tries that wants the value.
