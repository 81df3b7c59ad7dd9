//! One frame of a capture, traced by a gate that has seen those before it.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use super::{Args, Book, Printer, Traced, open};
use crate::capture::{Capture, Frame};
use crate::engine::{Engine, Ingress, Mode};
use crate::rules::RuleSet;
use crate::trace::{Arrival, Told};
use crate::track::{Limits, Pace};

/// Decides the frames before the one that is asked for, and traces that.
pub(super) fn frame(args: &Args, path: &Path, book: &Book, printer: &mut Printer) -> anyhow::Result<Traced> {
    let name = path.display();
    let wanted = args.frame.unwrap_or(1);
    let source: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(open(path)?) };
    let mut capture = Capture::open(source).with_context(|| format!("{name}"))?;
    let engine = Engine::new(RuleSet::default(), Limits::default(), Mode::Enforce);
    drop(engine.swap_rules(Arc::clone(&book.rules)));
    let mut pace = Pace::default();
    let mut frame = Frame::default();
    loop {
        let read = capture.read(&mut frame);
        pace.keep(frame.at, |now| engine.expire(now));
        match read {
            Ok(true) if frame.number < wanted => {
                if let Ok(found) = frame.packet() {
                    engine.decide(frame.at, &Ingress::default(), found.ip);
                }
            }
            Ok(true) => break,
            Ok(false) => {
                let frames = frame.number;
                return Ok(Traced::Not(format!(
                    "{name}: there is no frame {wanted}; the capture ends with frame {frames}"
                )));
            }
            Err(error) => {
                let error = anyhow::Error::from(error);
                return Ok(Traced::Not(format!("{name}: frame {wanted} is not reached: {error:#}")));
            }
        }
    }
    let bytes = match frame.packet() {
        Ok(found) => found.ip,
        Err(other) => {
            return Ok(Traced::Not(format!(
                "{name}: frame {wanted} is no TCP segment ({}); `mpgate replay --all {name}` lists those that are",
                other.label()
            )));
        }
    };
    let ingress = Ingress::default();
    let arrival = Arrival { number: wanted, told: Told::Capture, now: frame.at, ingress: &ingress, bytes };
    printer.arrive(&engine, &book.sources, arrival)?;
    Ok(Traced::All)
}
