//! One workload: recorded once, crashed at many points in many ways, judged after each.

use crate::choice::{Choice, SLOTS, choices};
use crate::image::fingerprint;
use crate::random::Random;
use crate::spec::{Crash, Spec};
use crate::trace::{Call, Event, Player};
use crate::world::{Allowed, Base, World, base, judge, record};
use llmdb_vfs::MemVfs;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A workload of more steps is crashed anywhere, at so many points; of shorter ones the points of all
/// but the last step belong to others.
const SHORT_STEPS_MAX: usize = 3;
const POINTS_OF_LONG: usize = 24;
/// One in so many states is crashed again while it is recovered and written to.
const AGAIN_EVERY: u64 = 16;
/// So many states of each of these are tried.
const AGAIN_STATES: usize = 8;
/// What is done after the recovery from a first crash: one of these, by where that was.
const AGAIN: [[&str; 2]; 5] = [
    ["put", "long"],
    ["long", "checkpoint"],
    ["checkpoint", "put"],
    ["overflow", "reopen"],
    ["put", "shrink"],
];
const SHARDS: usize = 64;

/// A state that must not be.
#[derive(Clone, Debug)]
pub struct Failure {
    /// How to come there.
    pub spec: Spec,
    /// What is wrong with it.
    pub why: String,
}

/// How much was tried. Counts are relaxed: they guard nothing, and are read when all is done, or for
/// show.
#[derive(Debug, Default)]
pub struct Tally {
    /// Workloads recorded.
    pub workloads: AtomicU64,
    /// Distinct states after one crash, each opened, judged and compared.
    pub first: AtomicU64,
    /// Distinct states after a second crash, in the recovery from a first or in what came then.
    pub second: AtomicU64,
    /// Recoveries that were written to, closed and opened again.
    pub went_on: AtomicU64,
    /// States that were the same as one before; compared by what was found then.
    pub repeats: AtomicU64,
}

impl Tally {
    /// All distinct states.
    pub fn distinct(&self) -> u64 {
        self.first.load(Ordering::Relaxed) + self.second.load(Ordering::Relaxed)
    }
}

/// The states that were judged, with what was found.
#[derive(Debug)]
pub struct Seen {
    shards: Vec<Mutex<HashMap<u128, u64>>>,
}

impl Default for Seen {
    fn default() -> Self {
        Seen { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Seen {
    fn shard(&self, state: u128) -> std::sync::MutexGuard<'_, HashMap<u128, u64>> {
        self.shards[state as usize % SHARDS].lock().expect("nobody panics with it")
    }
}

/// Whose state is judged now, for whoever watches over those that never end.
pub type Watch<'w> = &'w (dyn Fn(&Spec) + Sync);

/// What all workloads of a run share.
pub struct Explorer<'e, W: World> {
    pub(crate) world: &'e W,
    base: Base<W::Model>,
    seen: &'e Seen,
    tally: &'e Tally,
    watch: Watch<'e>,
}

impl<W: World> std::fmt::Debug for Explorer<'_, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Explorer").field("world", &self.world.name()).finish_non_exhaustive()
    }
}

/// A workload that was recorded.
struct Recording<M> {
    base: MemVfs,
    allowed: Allowed<M>,
    events: Vec<Event<M>>,
    points: Points,
    spec: Spec,
}

/// Where a workload is crashed.
#[derive(Clone, Copy, Debug)]
enum Points {
    /// At every call from this one on: those before belong to a shorter workload.
    From(usize),
    /// At so many, wherever they are.
    Some(usize),
}

impl<'e, W: World> Explorer<'e, W> {
    /// Makes the database that all workloads begin with.
    ///
    /// # Errors
    /// That of an open or a commit.
    pub fn new(
        world: &'e W,
        seen: &'e Seen,
        tally: &'e Tally,
        watch: Watch<'e>,
    ) -> Result<Self, String> {
        Ok(Explorer { world, base: base(world)?, seen, tally, watch })
    }

    /// Tries `quota` states of the workload, or all if it has no more. Of a short one those of its last
    /// step alone, the others are those of shorter workloads.
    pub fn explore(&self, steps: &[String], quota: usize, seed: u64) -> Result<(), Failure> {
        let recording = self.record(steps)?;
        self.tally.workloads.fetch_add(1, Ordering::Relaxed);
        self.crash(&recording, quota, seed, false)
    }

    fn record(&self, steps: &[String]) -> Result<Recording<W::Model>, Failure> {
        let spec =
            Spec { world: self.world.name().into(), steps: steps.to_vec(), crashes: Vec::new() };
        (self.watch)(&spec);
        let disk = self.base.disk.crash(&mut |_| true);
        let allowed = Allowed(vec![self.base.state.clone()]);
        let state = Some(&self.base.state);
        match record(self.world, disk, state, &allowed, steps) {
            Err(why) => Err(Failure { spec, why }),
            Ok(events) => {
                let last = events.iter().rposition(|event| matches!(event, Event::Step));
                let points = match steps.len() {
                    0..=SHORT_STEPS_MAX => Points::From(last.unwrap_or(0)),
                    _ => Points::Some(POINTS_OF_LONG),
                };
                let base = self.base.disk.crash(&mut |_| true);
                Ok(Recording { base, allowed, events, points, spec })
            }
        }
    }

    fn crash(
        &self,
        recording: &Recording<W::Model>,
        quota: usize,
        seed: u64,
        is_second: bool,
    ) -> Result<(), Failure> {
        let mut picked: BTreeMap<usize, Vec<Choice>> = BTreeMap::new();
        for (event, choice) in pick(recording, quota, seed) {
            picked.entry(event).or_default().push(choice);
        }
        let mut player = Player::new(&recording.base);
        let mut allowed = recording.allowed.clone();
        for event in 0..=recording.events.len() {
            for choice in picked.remove(&event).unwrap_or_default() {
                let mut spec = recording.spec.clone();
                spec.crashes.push(Crash { event, choice });
                self.state(&player, &allowed, spec, is_second)?;
            }
            match recording.events.get(event) {
                Some(Event::Call(call)) => player.play(call),
                Some(promise) => allowed.note(self.world, promise),
                None => {}
            }
        }
        Ok(())
    }

    /// Judges one state.
    fn state(
        &self,
        player: &Player,
        allowed: &Allowed<W::Model>,
        spec: Spec,
        is_second: bool,
    ) -> Result<(), Failure> {
        let choice = &spec.crashes.last().expect("a crash").choice;
        let crashed = choice.crash(player.disk());
        let mut name = DefaultHasher::new();
        self.world.name().hash(&mut name);
        let state = fingerprint(&crashed) ^ u128::from(name.finish());
        let known = self.seen.shard(state).get(&state).copied();
        let fail = |why| Err(Failure { spec: spec.clone(), why });
        if let Some(found) = known {
            self.tally.repeats.fetch_add(1, Ordering::Relaxed);
            return match allowed.find(found) {
                Some(_) => Ok(()),
                None => fail(stranger(allowed)),
            };
        }
        (self.watch)(&spec);
        let count = if is_second { &self.tally.second } else { &self.tally.first };
        count.fetch_add(1, Ordering::Relaxed);
        // Opening writes: what is to be recovered twice is copied first.
        let again = (!is_second && (state as u64).is_multiple_of(AGAIN_EVERY))
            .then(|| crashed.crash(&mut |_| true));
        let found = match judge(self.world, &crashed) {
            Ok(found) => found,
            Err(why) => return fail(why),
        };
        if allowed.find(found).is_none() {
            return fail(stranger(allowed));
        }
        self.seen.shard(state).insert(state, found);
        match again {
            Some(disk) => self.again(disk, allowed, spec, state as u64),
            None => Ok(()),
        }
    }

    /// Recovers, goes on, and crashes while it does.
    fn again(
        &self,
        disk: MemVfs,
        allowed: &Allowed<W::Model>,
        spec: Spec,
        seed: u64,
    ) -> Result<(), Failure> {
        let base = disk.crash(&mut |_| true);
        let events = record(self.world, disk, None, allowed, &after(&spec))
            .map_err(|why| Failure { spec: spec.clone(), why: format!("going on: {why}") })?;
        self.tally.went_on.fetch_add(1, Ordering::Relaxed);
        let points = Points::From(0);
        let recording = Recording { base, allowed: allowed.clone(), events, points, spec };
        self.crash(&recording, AGAIN_STATES, seed, true)
    }

    /// Comes to one state again.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn replay(&self, spec: &Spec) -> Result<(), String> {
        let mut recording = self.record(&spec.steps).map_err(|failure| failure.why)?;
        for (depth, crash) in spec.crashes.iter().enumerate() {
            let mut player = Player::new(&recording.base);
            let mut allowed = recording.allowed.clone();
            if crash.event > recording.events.len() {
                return Err(format!("there are {} events", recording.events.len()));
            }
            for event in recording.events.iter().take(crash.event) {
                match event {
                    Event::Call(call) => player.play(call),
                    promise => allowed.note(self.world, promise),
                }
            }
            let crashed = crash.choice.crash(player.disk());
            let base = crashed.crash(&mut |_| true);
            let found = judge(self.world, &crashed)?;
            if allowed.find(found).is_none() {
                return Err(stranger(&allowed));
            }
            let on = base.crash(&mut |_| true);
            let events = record(self.world, on, None, &allowed, &after(spec))
                .map_err(|why| format!("going on: {why}"))?;
            if depth + 1 < spec.crashes.len() {
                let points = Points::From(0);
                recording = Recording { base, allowed, events, points, spec: spec.clone() };
            }
        }
        Ok(())
    }

    /// The changes that may be lost at the last point of a spec.
    pub(crate) fn changes(&self, spec: &Spec) -> usize {
        // Of second crashes no more than this is known without going there.
        let [crash] = spec.crashes.as_slice() else { return 0 };
        let Ok(recording) = self.record(&spec.steps) else { return 0 };
        let mut player = Player::new(&recording.base);
        for event in recording.events.iter().take(crash.event) {
            if let Event::Call(call) = event {
                player.play(call);
            }
        }
        player.disk().unsynced().len()
    }
}

/// The steps after the recovery from the first crash of a spec.
fn after(spec: &Spec) -> [String; 2] {
    let first = spec.crashes.first().map_or(0, |crash| crash.event);
    AGAIN[(first + spec.steps.len()) % AGAIN.len()].map(str::to_owned)
}

fn stranger<M>(allowed: &Allowed<M>) -> String {
    format!("the answers are those of none of the {} states that may be", allowed.0.len())
}

/// Chooses `quota` of all the states that a recording has, some of each kind; and at its end, with all
/// that was done on the medium, one meta slot lost.
fn pick<M>(recording: &Recording<M>, quota: usize, seed: u64) -> Vec<(usize, Choice)> {
    let (mut subsets, mut torn, mut cuts) = (Vec::new(), Vec::new(), Vec::new());
    let mut random = Random(seed);
    let points = recording.points(&mut random);
    let mut player = Player::new(&recording.base);
    let mut before = None;
    for event in 0..=recording.events.len() {
        let ops = player.disk().unsynced();
        if points.binary_search(&event).is_ok() {
            let is_new = before == Some(ops.len().wrapping_sub(1));
            let all = choices(&ops, is_new, seed ^ event as u64);
            subsets.extend(all.subsets.into_iter().map(|choice| (event, choice)));
            torn.extend(all.torn.into_iter().map(|choice| (event, choice)));
            cuts.extend(all.cuts.into_iter().map(|choice| (event, choice)));
        }
        match recording.events.get(event) {
            Some(Event::Call(call)) => {
                before = Some(ops.len());
                player.play(call);
            }
            // States without the newest change were tried while less was promised.
            Some(Event::Acknowledged | Event::Settled(_) | Event::Issued(_)) => before = None,
            Some(Event::Step) | None => {}
        }
    }
    let total = subsets.len() + torn.len() + cuts.len();
    if total > quota {
        [&mut subsets, &mut torn, &mut cuts].into_iter().for_each(|kind| random.shuffle(kind));
        // Half of them subsets, the rest torn and cut; what one kind lacks the others have.
        let (t, c) = (torn.len().min(quota / 4), cuts.len().min(quota / 4));
        let s = subsets.len().min(quota - t - c);
        let t = torn.len().min(quota - s - c);
        torn.truncate(t);
        subsets.truncate(s);
        cuts.truncate(quota - s - t);
    }
    let end = recording.events.len();
    let slots = (0..SLOTS).map(|slot| (end, Choice::Slot(slot)));
    subsets.into_iter().chain(torn).chain(cuts).chain(slots).collect()
}

impl<M> Recording<M> {
    /// The events before which it is crashed, ascending: calls, and the end.
    fn points(&self, random: &mut Random) -> Vec<usize> {
        let is_point =
            |event: &usize| matches!(self.events.get(*event), None | Some(Event::Call(_)));
        let from = match self.points {
            Points::From(from) => from,
            Points::Some(_) => 0,
        };
        let mut points: Vec<usize> = (from..=self.events.len()).filter(is_point).collect();
        if let Points::Some(some) = self.points {
            random.shuffle(&mut points);
            // Half of them while names are not durable, as far as there are so many: that is rare.
            let is_rare = |event: &usize| {
                matches!(self.events.get(*event), Some(Event::Call(Call::SyncDir { .. })))
            };
            let (mut rare, mut others): (Vec<_>, Vec<_>) = points.into_iter().partition(is_rare);
            rare.truncate(some / 2);
            others.truncate(some - rare.len());
            points = rare.into_iter().chain(others).collect();
            points.sort_unstable();
        }
        points
    }
}
