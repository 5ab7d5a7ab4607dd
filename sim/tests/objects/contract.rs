//! Lies about the rules between a machine and its host.

use bytes::Bytes;
use kernel::cluster::agreed::{Became, Wish};
use kernel::env::SeededRng;
use kernel::machine::{Envelope, Input, Output, Phase, StorageError};
use sim::client::{Said, Talk};
use sim::disk::{DiskProfile, VirtualDisk};
use sim::invariant::{Departure, Seen};
use sim::trace::Step;

use super::{Case, Lie, case};

pub fn lies() -> Vec<Case> {
    vec![
        case("persist-before-speak", "leaves when log entry", leaves_too_early),
        case("tickets-in-order", "the next commit", an_answer_is_lost),
        case("failed-commit", "so", a_failure_is_forgotten),
        case("replies-in-order", "as they were given", overtakes),
        case("damage-noticed", "that nothing befell", a_good_disk_is_refused),
        case("storage-rules", "the moon", misuses),
        case("damage-noticed", "that nothing befell", refuses_a_good_disk),
        case("dials-apart", "before it dials", dials_twice),
        case("moves-throttled", "leaves time for others", no_time_passes),
        case("settled", "is remembered for", the_floor_is_near),
        case("fencing", "tokens of l rise", everybody_has_the_first_token),
        case(
            "definitions",
            "could have come about one at a time",
            everybody_defines_the_first,
        ),
        case("no-echo", "back to where it came from", sends_back),
        case("repairs-end", "holds all once it does", records_never_come),
    ]
}

/// Every dial is followed by another to the same peer in the same instant.
fn dials_twice() -> Lie {
    Box::new(|seen, next| match seen {
        Seen::Stepped { step, disk } if !step.output.dial.is_empty() => {
            let mut output = step.output.clone();
            output.dial.extend_from_slice(&step.output.dial);
            let step = Step {
                output: &output,
                ..**step
            };
            next(&Seen::Stepped { step: &step, disk });
        }
        _ => next(seen),
    })
}

/// By the node's clock everything happens at once.
fn no_time_passes() -> Lie {
    Box::new(|seen, next| match seen {
        Seen::Stepped { step, disk } => {
            let now = kernel::env::Now { mono_us: 0, ..step.now };
            next(&Seen::Stepped {
                step: &Step { now, ..**step },
                disk,
            });
        }
        _ => next(seen),
    })
}

/// Whoever writes is told that he has a lock as well, always by the same token.
fn everybody_has_the_first_token() -> Lie {
    let became = Became::Granted { token: 1, until_ms: 1 };
    also_asks("l", Wish::Lock { ttl_ms: 1 }, became)
}

/// Whoever writes is told that he has defined something as well, always as the first.
fn everybody_defines_the_first() -> Lie {
    let (value, if_version) = (vec![1], None);
    let became = Became::Defined {
        version: 1,
        value: None,
    };
    also_asks("d", Wish::Define { value, if_version }, became)
}

/// Whoever is told that a write is done has asked for something else as well, and is told what became of that.
fn also_asks(name: &'static str, wish: Wish, became: Became) -> Lie {
    Box::new(move |seen, next| {
        if let Seen::Talked { client, talk } = seen
            && let Said::Done { request, .. } = &talk.said
        {
            let (request, client) = (*request, *client);
            let (wish, became) = (wish.clone(), became.clone());
            let name = || name.to_string();
            let asks = Said::AsksRegister {
                request,
                name: name(),
                wish,
            };
            let says = Said::RegisterSays {
                request,
                name: name(),
                became,
            };
            for said in [asks, says] {
                let talk = &Talk {
                    said,
                    ..(*talk).clone()
                };
                next(&Seen::Talked { client, talk });
            }
        }
        next(seen)
    })
}

/// In the end every node takes all that there is for settled.
fn the_floor_is_near() -> Lie {
    Box::new(|seen, next| match seen {
        Seen::Quiet { nodes, views } => {
            let mut nodes = nodes.to_vec();
            nodes.iter_mut().for_each(|survivor| survivor.floor = u64::MAX);
            next(&Seen::Quiet { nodes: &nodes, views });
        }
        _ => next(seen),
    })
}

/// Whatever a node is sent it sends back.
fn sends_back() -> Lie {
    Box::new(|seen, next| match seen {
        Seen::Stepped { step, disk } => {
            let mut output = step.output.clone();
            if let Input::Received { conn, frame } = step.input {
                let frame = Bytes::copy_from_slice(frame);
                output.send.push(Envelope { conn: *conn, frame });
            }
            let step = Step {
                output: &output,
                ..**step
            };
            next(&Seen::Stepped { step: &step, disk });
        }
        _ => next(seen),
    })
}

/// What is fetched for a repair is not what the node is told.
fn records_never_come() -> Lie {
    Box::new(|seen, next| match seen {
        Seen::Stepped { step, disk } => {
            let input = match step.input {
                Input::Received { frame, .. } if frame.get(7..14) == Some(b"RECORDS") => &Input::Wake,
                input => input,
            };
            next(&Seen::Stepped {
                step: &Step { input, ..**step },
                disk,
            });
        }
        _ => next(seen),
    })
}

pub fn empty_disk() -> VirtualDisk {
    VirtualDisk::new(DiskProfile::default(), SeededRng::from_u64(0))
}

fn leaves_too_early() -> Lie {
    let disk = empty_disk();
    Box::new(move |seen, next| match seen {
        Seen::Left(left) => next(&Seen::Left(&Departure { disk: &disk, ..**left })),
        _ => next(seen),
    })
}

fn an_answer_is_lost() -> Lie {
    let mut lost = false;
    Box::new(move |seen, next| match seen {
        Seen::Told {
            input: Input::Committed { .. },
            ..
        } if !lost => lost = true,
        _ => next(seen),
    })
}

fn a_failure_is_forgotten() -> Lie {
    let mut failed = false;
    Box::new(move |seen, next| match seen {
        Seen::Stepped { step, disk } => match step.input {
            Input::Committed { ticket, result: Ok(_) } if !failed => {
                failed = true;
                let input = Input::Committed {
                    ticket: *ticket,
                    result: Err(StorageError::Io),
                };
                let step = Step {
                    input: &input,
                    ..**step
                };
                next(&Seen::Stepped { step: &step, disk });
            }
            _ => next(seen),
        },
        _ => next(seen),
    })
}

fn refuses_a_good_disk() -> Lie {
    Box::new(|seen, next| match seen {
        Seen::Stepped { step, disk } if step.output.phase.is_some() => {
            let error = StorageError::Corrupt;
            let output = Output {
                phase: Some(Phase::Failed { error }),
                ..Output::default()
            };
            let step = Step {
                output: &output,
                ..**step
            };
            next(&Seen::Stepped { step: &step, disk });
        }
        _ => next(seen),
    })
}

fn overtakes() -> Lie {
    let mut lied = false;
    Box::new(move |seen, next| match seen {
        Seen::Left(left) if left.ordered && !lied => {
            lied = true;
            let given = u64::MAX;
            next(&Seen::Left(&Departure { given, ..**left }));
        }
        _ => next(seen),
    })
}

fn a_good_disk_is_refused() -> Lie {
    Box::new(|seen, next| match seen {
        Seen::Stepped { step, disk } if matches!(step.output.phase, Some(Phase::Ready { .. })) => {
            let error = StorageError::Corrupt;
            let output = Output {
                phase: Some(Phase::Failed { error }),
                ..step.output.clone()
            };
            let step = Step {
                output: &output,
                ..**step
            };
            next(&Seen::Stepped { step: &step, disk });
        }
        _ => next(seen),
    })
}

fn misuses() -> Lie {
    Box::new(|seen, next| {
        next(seen);
        let misuse = "it asked for the moon";
        next(&Seen::Misused { node: 0, misuse });
    })
}
