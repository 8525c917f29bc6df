//! The rectangles that a key's events make, worked out from the first event on.

use crate::codec::event::Event;
use crate::codec::rect::Rect;
use crate::layer::Layer;
use crate::resolve::remainders;
use crate::{EventId, TxTime, ValidTime};
use std::collections::BTreeMap;

/// What a sequence of events leaves.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// The current belief, by where its segments begin.
    pub(crate) live: BTreeMap<ValidTime, Rect>,
    pub(crate) past: Vec<Rect>,
}

impl Replay {
    /// Replays `events`, which are in the order of their ids.
    pub(crate) fn new(events: &[(EventId, Event)]) -> Self {
        let mut replay = Self::default();
        for transaction in events.chunk_by(|(a, _), (b, _)| a.tx == b.tx) {
            replay.transaction(transaction);
        }
        replay
    }

    fn transaction(&mut self, events: &[(EventId, Event)]) {
        let tx = events[0].0.tx;
        let mut layer = Layer::new();
        for (number, (_, event)) in events.iter().enumerate() {
            layer.cover(event.valid, number as u32);
        }
        let runs = layer.runs();
        for run in &runs {
            while let Some((_, &rect)) = self.live.range(..run.to()).next_back()
                && rect.valid.overlaps(*run)
            {
                self.live.remove(&rect.valid.from());
                self.past.push(Rect { tx_to: tx, ..rect });
                let mut left = Vec::new();
                remainders(&rect, &runs, tx, &mut left);
                self.live.extend(left.into_iter().map(|rect| (rect.valid.from(), rect)));
            }
        }
        for piece in layer.pieces() {
            let (event, Event { absence, .. }) = events[piece.op as usize];
            let valid = piece.valid;
            let rect = Rect { valid, tx_from: tx, tx_to: TxTime::INFINITY, event, absence };
            self.live.insert(valid.from(), rect);
        }
    }
}
