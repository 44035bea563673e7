//! The terminal: taken over, drawn on, and given back, whatever happens.

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
    sync::Arc,
    thread::{Builder, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use ratatui::{
    DefaultTerminal,
    crossterm::{
        cursor::Show,
        event::{self, DisableBracketedPaste, EnableBracketedPaste, Event},
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    process::{Signal, getpgrp, getpid, getsid, kill_current_process_group, kill_process},
};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    TopArguments, ask,
    ask::Wish,
    draw, follow, keys,
    picture::{News, Picture},
    tone::Tone,
    view::{Effect, View},
    wiring,
};
use crate::cli::{FAILED, Failure, live::Door};

/// Draws until somebody has seen enough.
pub(super) fn run(door: &Door, arguments: &TopArguments) -> Result<(), Failure> {
    if !door.console.is_terminal() || !io::stdin().is_terminal() {
        return Err(Failure::usage("`top` needs a terminal to draw on")
            .help("elsewhere: gnomon top --snapshot 1, or gnomon status"));
    }
    let socket = Arc::new(door.socket());
    let mut view = wiring::view(arguments, door.console, arguments.read_only);
    let mut picture = Picture { interval: wiring::millis(arguments), ..Picture::default() };
    let wish = Wish::of(view.pane);
    let first = ask::look(&socket, wish, 0).map_err(|failure| Failure::call(failure, &socket))?;
    picture.learn(News::Look(Box::new(first)), wiring::now());

    let (tell, news) = bounded(NEWS_MAX);
    let (wishes, wished) = bounded(WISHES_MAX);
    let interval = arguments.interval;
    let (to, from) = (tell.clone(), socket.clone());
    let asking = thread("top-ask", move || ask::ask(&from, interval, wish, &wished, &to))?;
    let (to, from) = (tell.clone(), socket.clone());
    let following = thread("top-follow", move || follow::follow(&from, &to))?;
    let (told, signals) = bounded(SIGNALS_MAX);
    thread("top-signals", move || listen(&told))?;

    let wires = Wires { socket, tell, news, wishes, signals, threads: [asking, following] };
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let _back = GiveBack;
    execute!(io::stdout(), EnableBracketedPaste).map_err(failed)?;
    wires.watch(&mut terminal, &mut picture, &mut view)
}

/// Gives the terminal back when it goes, by whatever way. (Before a panic is told of, ratatui's hook has
/// done the most of it.)
struct GiveBack;

impl Drop for GiveBack {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = execute!(io::stdout(), DisableBracketedPaste, Show);
        let _ = ratatui::try_restore();
    }
}

/// News that wait to be drawn: whoever tells more waits, and nothing else does.
const NEWS_MAX: usize = 256;
/// Wishes that wait to be read; of more than one the newest counts.
const WISHES_MAX: usize = 16;
const SIGNALS_MAX: usize = 16;

/// How long a key is waited for before news are looked for.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

fn failed(error: io::Error) -> Failure {
    Failure::new(FAILED, format!("the terminal: {error}"))
}

#[derive(Clone, Copy, Debug)]
enum Told {
    /// To end.
    End,
    /// To let go of the terminal for a while.
    Suspend,
    /// That it was let go of by others.
    Continue,
}

/// What the thread that draws is connected with.
struct Wires {
    socket: Arc<PathBuf>,
    tell: Sender<News>,
    news: Receiver<News>,
    wishes: Sender<Wish>,
    signals: Receiver<Told>,
    threads: [JoinHandle<()>; 2],
}

impl Wires {
    fn watch(
        &self,
        terminal: &mut DefaultTerminal,
        picture: &mut Picture,
        view: &mut View,
    ) -> Result<(), Failure> {
        let mut is_old = true;
        loop {
            let now = wiring::now();
            // The clock in the corner.
            is_old |= now / 1000 != picture.now / 1000;
            picture.now = now;
            if std::mem::take(&mut is_old) {
                show(terminal, picture, view)?;
            }
            if self.threads.iter().any(JoinHandle::is_finished) {
                return Err(Failure::new(FAILED, "a thread that asks the proxy has ended")
                    .help("please report this as a bug"));
            }
            if has_event()? {
                is_old = true;
                let event = event::read().map_err(failed)?;
                if self.take(&event, terminal, picture, view)? == Next::End {
                    return Ok(());
                }
            }
            for news in self.news.try_iter().take(NEWS_MAX) {
                is_old = true;
                self.learn(news, picture, view);
            }
            for told in self.signals.try_iter() {
                is_old = true;
                match told {
                    Told::End => return Ok(()),
                    Told::Suspend => rest(terminal, Rest::Alone)?,
                    Told::Continue => wake(terminal)?,
                }
            }
        }
    }

    fn take(
        &self,
        event: &Event,
        terminal: &mut DefaultTerminal,
        picture: &Picture,
        view: &mut View,
    ) -> Result<Next, Failure> {
        if let Event::Paste(text) = event {
            view.paste(text);
        }
        let Event::Key(key) = event else { return Ok(Next::GoOn) };
        let action = keys::meaning(*key, view.focus(), view.pane, view.may_act(picture));
        match view.obey(action, picture) {
            Effect::None => {}
            Effect::Quit => return Ok(Next::End),
            Effect::Redraw => terminal.clear().map_err(failed)?,
            Effect::Look => self.wish(view),
            Effect::Suspend if is_alone() => {
                let said = "there is no shell to go back to".to_owned();
                view.notice = Some((Tone::Watch, said));
            }
            Effect::Suspend => rest(terminal, Rest::Group)?,
            Effect::Post(path, body) => {
                let (tell, socket) = (self.tell.clone(), self.socket.clone());
                thread("top-act", move || {
                    // Nobody is left to tell only when everything ends.
                    let _ = tell.send(News::Done(ask::act(&socket, &path, &body)));
                })?;
            }
        }
        Ok(Next::GoOn)
    }

    fn learn(&self, news: News, picture: &mut Picture, view: &mut View) {
        if let News::Done(result) = news {
            view.done(result);
            self.wish(view);
        } else {
            picture.learn(news, wiring::now());
        }
    }

    /// Asks at once for what is looked at. A full queue has a newer look in it already.
    fn wish(&self, view: &View) {
        let _ = self.wishes.try_send(Wish::of(view.pane));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

/// Whether there is an event to be read, which is waited for a little.
///
/// A terminal that is gone is at its end for ever, and asked for events by then, the library would look
/// for them without a pause: so it is asked only while the terminal is there.
fn has_event() -> Result<bool, Failure> {
    let input = io::stdin();
    for wait in [Timespec::default(), WAIT] {
        let mut waited = [PollFd::new(&input, PollFlags::IN)];
        // A signal has its own way to us.
        let _ = rustix::event::poll(&mut waited, Some(&wait));
        if waited[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
            return Err(Failure::silent(FAILED));
        }
        if event::poll(Duration::ZERO).map_err(failed)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn show(terminal: &mut DefaultTerminal, picture: &Picture, view: &mut View) -> Result<(), Failure> {
    let drawn = terminal.draw(|frame| {
        let area = frame.area();
        view.columns = area.width;
        draw::draw(picture, view, area, frame.buffer_mut());
    });
    drawn.map(|_| ()).map_err(failed)
}

fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Failure> {
    let started = Builder::new().name(name.to_owned()).spawn(body);
    started.map_err(|error| Failure::new(FAILED, format!("no thread: {error}")))
}

/// Who rests with us.
#[derive(Clone, Copy, Debug)]
enum Rest {
    /// Nobody: a signal came to us alone.
    Alone,
    /// The whole job, as Ctrl-Z means it.
    Group,
}

/// Whether nobody could ever wake us: no shell has us as one of its jobs.
fn is_alone() -> bool {
    getsid(None).is_ok_and(|session| session == getpgrp())
}

/// Gives the terminal back, stops, and takes it over again when continued.
fn rest(terminal: &mut DefaultTerminal, who: Rest) -> Result<(), Failure> {
    terminal.show_cursor().map_err(failed)?;
    disable_raw_mode().map_err(failed)?;
    execute!(io::stdout(), DisableBracketedPaste, LeaveAlternateScreen).map_err(failed)?;
    // What Ctrl-Z is without us: our own hearing of it is in the way of its usual effect.
    let stopped = match who {
        Rest::Alone => kill_process(getpid(), Signal::STOP),
        Rest::Group => kill_current_process_group(Signal::STOP),
    };
    stopped.map_err(|error| failed(error.into()))?;
    wake(terminal)
}

/// Takes the terminal over, as it was before or not.
fn wake(terminal: &mut DefaultTerminal) -> Result<(), Failure> {
    enable_raw_mode().map_err(failed)?;
    execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste).map_err(failed)?;
    terminal.hide_cursor().map_err(failed)?;
    terminal.clear().map_err(failed)
}

/// Passes signals on, until nobody listens.
fn listen(told: &Sender<Told>) {
    let Ok(runtime) = crate::cli::runtime() else { return };
    runtime.block_on(async {
        let all = [
            (SignalKind::terminate(), Told::End),
            (SignalKind::hangup(), Told::End),
            (SignalKind::interrupt(), Told::End),
            (SignalKind::quit(), Told::End),
            (SignalKind::from_raw(Signal::TSTP.as_raw()), Told::Suspend),
            (SignalKind::from_raw(Signal::CONT.as_raw()), Told::Continue),
        ];
        let mut tasks = tokio::task::JoinSet::new();
        for (kind, means) in all {
            let Ok(mut signals) = signal(kind) else { continue };
            let told = told.clone();
            tasks.spawn(async move {
                while signals.recv().await.is_some() && told.try_send(means).is_ok() {}
            });
        }
        tasks.join_all().await;
    });
}
