//! Panics of the code under test, caught with their message and their place.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

/// A panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    /// What it said.
    pub message: String,
    /// Where: `kernel/src/node/mod.rs:12:5`. Empty if a hook that was set later kept it from us.
    pub place: String,
    /// How it got there, if the environment asks for that with `RUST_BACKTRACE`.
    pub backtrace: Option<String>,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" => write!(f, "panicked: {}", self.message),
            place => write!(f, "panicked at {place}: {}", self.message),
        }
    }
}

thread_local! {
    /// How many calls of [`catch`] this thread is in.
    static CATCHING: RefCell<u32> = const { RefCell::new(0) };
    /// The last panic in one of them.
    static CAUGHT: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Does `work`. A panic in it is returned, and nothing is printed; panics of other threads, and of this one at other times,
/// are reported as ever.
///
/// # Errors
/// The panic.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |info| match CATCHING.with_borrow(|depth| *depth) {
            0 => usual(info),
            _ => CAUGHT.set(Some(noted(info))),
        }));
    });
    CAUGHT.take();
    CATCHING.with_borrow_mut(|depth| *depth += 1);
    // Whatever `work` left half done goes down with it: a run owns all that it touches.
    let done = catch_unwind(AssertUnwindSafe(work));
    CATCHING.with_borrow_mut(|depth| *depth -= 1);
    done.map_err(|payload| {
        CAUGHT.take().unwrap_or_else(|| Panic {
            message: message(payload.as_ref()),
            place: String::new(),
            backtrace: None,
        })
    })
}

fn noted(info: &PanicHookInfo<'_>) -> Panic {
    let backtrace = Backtrace::capture();
    Panic {
        message: message(info.payload()),
        place: info.location().map(ToString::to_string).unwrap_or_default(),
        backtrace: (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string()),
    }
}

fn message(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "something that is no text".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_with_its_message_and_its_place() {
        let line = line!() + 1;
        let caught = catch(|| assert_eq!(1 + 1, 3, "sums")).unwrap_err();
        assert!(caught.message.contains("sums"), "{caught}");
        assert!(caught.place.contains(&format!("panics.rs:{line}:")), "{caught}");
        assert_eq!(catch(|| 7), Ok(7));
    }

    #[test]
    fn one_inside_another_is_the_inner_ones() {
        let outer = catch(|| catch(|| panic!("inner")).map_err(|panic| panic.message));
        assert_eq!(outer, Ok(Err("inner".to_string())));
    }
}
