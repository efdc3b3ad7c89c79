//! The terminal, and giving it back: at the end, when this process is stopped, and while another program has it.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use ratatui::{Frame, Terminal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, kill_current_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// How long a terminal is looked at before it is asked whether a signal came.
const GLANCE: Duration = Duration::from_millis(250);

/// The whole of the terminal that this process was started on, whatever its standard streams are.
pub(crate) struct Screen {
    tty: File,
    terminal: Terminal<CrosstermBackend<File>>,
    ended: Arc<AtomicBool>,
}

/// What a person did, or what happened meanwhile.
pub(crate) enum Input {
    /// A key was pressed.
    Key(KeyEvent),
    /// The key that stops a job: what must not stay on the screen goes first, then [`Screen::stop`].
    Stop,
    /// Another size: everything is to be drawn again.
    Changed,
    /// Nothing, for as long as was asked.
    Nothing,
    /// Somebody ends this process.
    End,
}

impl Screen {
    /// Takes the terminal.
    pub(crate) fn open() -> io::Result<Self> {
        let tty = File::options().read(true).write(true).open("/dev/tty")?;
        let ended = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&ended))?;
        }
        let terminal = Terminal::new(CrosstermBackend::new(tty.try_clone()?))?;
        let mut screen = Self { tty, terminal, ended };
        screen.enter()?;
        Ok(screen)
    }

    /// Shows a picture.
    pub(crate) fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(picture).map(drop)
    }

    /// Waits this long for something to happen.
    pub(crate) fn wait(&mut self, most: Duration) -> io::Result<Input> {
        let mut waited = Duration::ZERO;
        while waited < most {
            let glance = GLANCE.min(most - waited);
            if self.ended.load(Ordering::Relaxed) || !self.is_there(glance)? {
                return Ok(Input::End);
            }
            if event::poll(Duration::ZERO)? {
                match event::read()? {
                    Event::Key(key) if key.kind != KeyEventKind::Release => {
                        if is_stop(key) {
                            return Ok(Input::Stop);
                        }
                        return Ok(Input::Key(key));
                    }
                    Event::Resize(..) => return Ok(Input::Changed),
                    Event::Key(_)
                    | Event::Mouse(_)
                    | Event::Paste(_)
                    | Event::FocusGained
                    | Event::FocusLost => {}
                }
            }
            waited += glance;
        }
        Ok(Input::Nothing)
    }

    /// Waits this long for the terminal. Says whether there is one still: where it has hung up, crossterm would read its end
    /// again and again without returning.
    fn is_there(&self, most: Duration) -> io::Result<bool> {
        let mut poll_fd = [PollFd::new(&self.tty, PollFlags::IN)];
        let most = Timespec { tv_sec: 0, tv_nsec: most.subsec_nanos().into() };
        match poll(&mut poll_fd, Some(&most)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [tty] = poll_fd;
        Ok(!tty.revents().intersects(PollFlags::HUP | PollFlags::ERR))
    }

    /// Gives the terminal to another program meanwhile.
    pub(crate) fn lend<T>(&mut self, borrow: impl FnOnce() -> T) -> io::Result<T> {
        self.leave()?;
        let result = borrow();
        // A signal of the terminal was for what had it.
        self.ended.store(false, Ordering::Relaxed);
        self.enter()?;
        Ok(result)
    }

    /// Sends the terminal bytes that are none of the picture.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let tty = self.terminal.backend_mut();
        tty.write_all(bytes)?;
        Write::flush(tty)
    }

    /// Stops, with all that the shell takes for the same job, until the shell lets it go on.
    pub(crate) fn stop(&mut self) -> io::Result<()> {
        self.leave()?;
        kill_current_process_group(Signal::TSTP)?;
        self.enter()
    }

    fn enter(&mut self) -> io::Result<()> {
        enable_raw_mode()?;
        execute!(self.terminal.backend_mut(), EnterAlternateScreen, cursor::Hide)?;
        self.terminal.clear()
    }

    fn leave(&mut self) -> io::Result<()> {
        execute!(self.terminal.backend_mut(), LeaveAlternateScreen, cursor::Show)?;
        disable_raw_mode()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // There is nothing left to do if it fails.
        let _ = self.leave();
    }
}

const fn is_stop(key: KeyEvent) -> bool {
    matches!(key.code, KeyCode::Char('z')) && key.modifiers.contains(KeyModifiers::CONTROL)
}

/// Whether this key is Ctrl-C.
pub(crate) const fn is_interrupt(key: KeyEvent) -> bool {
    matches!(key.code, KeyCode::Char('c')) && key.modifiers.contains(KeyModifiers::CONTROL)
}
