//! The least that still fails: fewer steps, then fewer changes lost.

use crate::explore::{Explorer, Failure, Seen, Tally};
use crate::world::World;

/// States tried of each shorter workload.
const STATES: usize = 4_000;
/// Rounds of losing less.
const ROUNDS: usize = 64;

/// Looks for a smaller failure; answers the one given if there is none.
pub fn minimise<W: World>(world: &W, failure: Failure) -> Failure {
    let mut least = failure;
    while let Some(shorter) = shorter(world, &least) {
        least = shorter;
    }
    let (seen, tally) = (Seen::default(), Tally::default());
    let Ok(explorer) = Explorer::new(world, &seen, &tally, &|_| ()) else { return least };
    for _ in 0..ROUNDS {
        let Some(simpler) = simpler(&explorer, &least) else { break };
        least = simpler;
    }
    least
}

fn shorter<W: World>(world: &W, failure: &Failure) -> Option<Failure> {
    let steps = &failure.spec.steps;
    for without in 0..steps.len() {
        let mut fewer = steps.clone();
        fewer.remove(without);
        // Each on its own: what was seen once is not judged again.
        let (seen, tally) = (Seen::default(), Tally::default());
        let explorer = Explorer::new(world, &seen, &tally, &|_| ()).ok()?;
        if let Err(found) = explorer.explore(&fewer, STATES, 1) {
            return Some(found);
        }
    }
    None
}

fn simpler<W: World>(explorer: &Explorer<'_, W>, failure: &Failure) -> Option<Failure> {
    let changes = explorer.changes(&failure.spec);
    let last = failure.spec.crashes.last()?;
    last.choice.simpler(changes).into_iter().find_map(|choice| {
        let mut spec = failure.spec.clone();
        spec.crashes.last_mut()?.choice = choice;
        explorer.replay(&spec).err().map(|why| Failure { spec, why })
    })
}
