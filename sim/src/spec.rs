//! One crash, or a crash and a second one in the recovery from it, as a line of text; a workload that
//! fails without one has nothing after its steps:
//!
//! ```text
//! trees:put,checkpoint@41:keep=7+12:torn=3,1,08
//! world steps          |  what survives |  what survives
//!                      before event 41  before event 12 of what is done then
//! ```
//!
//! An asynchronous commit is written out some milliseconds later, by a thread: on a machine that is
//! busy its event may come elsewhere, and the spec of such a workload has to be replayed again.

use crate::choice::Choice;
use std::fmt;
use std::str::FromStr;

/// A workload, and where it crashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The name of the world.
    pub world: String,
    /// The steps of the workload.
    pub steps: Vec<String>,
    /// Where, and what survives; then the same of what is done next.
    pub crashes: Vec<Crash>,
}

/// A point, and what survives a crash there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Before this event of the trace.
    pub event: usize,
    /// What survives.
    pub choice: Choice,
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.world, self.steps.join(","))?;
        for (i, Crash { event, choice }) in self.crashes.iter().enumerate() {
            write!(f, "{}{event}:{choice}", if i == 0 { '@' } else { '+' })?;
        }
        Ok(())
    }
}

impl FromStr for Spec {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no WORLD:STEP,...@EVENT:CHOICE");
        let (workload, crashes) = text.split_once('@').unwrap_or((text, ""));
        let (world, steps) = workload.split_once(':').ok_or_else(bad)?;
        let crash = |text: &str| {
            let (event, choice) = text.split_once(':').ok_or_else(bad)?;
            Ok(Crash { event: event.parse().map_err(|_| bad())?, choice: choice.parse()? })
        };
        Ok(Spec {
            world: world.to_owned(),
            steps: steps.split(',').filter(|s| !s.is_empty()).map(str::to_owned).collect(),
            crashes: match text.contains('@') {
                true => crashes.split('+').map(crash).collect::<Result<_, String>>()?,
                false => Vec::new(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_is_read_back_from_its_line() {
        let line = "trees:put,checkpoint@41:keep=7+12:torn=3,1,08";
        let spec: Spec = line.parse().unwrap();
        assert_eq!((spec.steps.len(), spec.crashes[1].event), (2, 12));
        assert_eq!(spec.to_string(), line);
        let without: Spec = "trees:put,long".parse().unwrap();
        assert_eq!((without.steps.len(), without.crashes.len()), (2, 0));
        assert_eq!(without.to_string(), "trees:put,long");
        for bad in ["", "trees", "trees:put@", "trees:put@x:keep=1", "trees:put@1"] {
            assert!(bad.parse::<Spec>().is_err(), "{bad}");
        }
    }
}
