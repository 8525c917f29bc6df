//! Standard input that a signal ends.

use crate::error::Result;
use crate::stop::Stop;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that may wait.
const CHUNKS_MAX: usize = 4;

enum Event {
    Bytes(Vec<u8>),
    Failed(io::Error),
    Stop,
}

/// What a thread of its own reads: whoever waits for more is woken by a signal. After one, reading
/// fails.
pub struct Input {
    events: Receiver<Event>,
    stop: Stop,
    chunk: Vec<u8>,
    at: usize,
    /// Nothing comes after the end, however often it is asked for.
    ended: bool,
}

impl Input {
    /// Standard input, and the signals that end it.
    ///
    /// # Errors
    /// [`crate::error::Error::Signals`]
    pub fn stdin() -> Result<(Self, Stop)> {
        let (sender, events) = sync_channel(CHUNKS_MAX);
        let wake = sender.clone();
        // A full queue wakes the reader as well, and it looks at the flag first.
        let stop = Stop::on_signals(move || drop(wake.try_send(Event::Stop)))?;
        // Not joined: it may wait for input that never comes.
        thread::spawn(move || read_chunks(io::stdin(), &sender));
        Ok((Self { events, stop: stop.clone(), chunk: Vec::new(), at: 0, ended: false }, stop))
    }
}

fn read_chunks(mut input: impl Read, sender: &SyncSender<Event>) {
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let event = match input.read(&mut chunk) {
            Ok(read) => {
                chunk.truncate(read);
                Event::Bytes(chunk)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Event::Failed(error),
        };
        let last = !matches!(&event, Event::Bytes(chunk) if !chunk.is_empty());
        if sender.send(event).is_err() || last {
            return;
        }
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            if self.ended {
                return Ok(0);
            }
            match self.events.recv() {
                _ if self.stop.came() => return Err(io::Error::other("stopped by a signal")),
                Ok(Event::Bytes(chunk)) => {
                    self.ended = chunk.is_empty();
                    (self.chunk, self.at) = (chunk, 0);
                }
                Ok(Event::Failed(error)) => {
                    self.ended = true;
                    return Err(error);
                }
                Ok(Event::Stop) => {}
                Err(_) => self.ended = true,
            }
        }
        let ready = &self.chunk[self.at..];
        let taken = ready.len().min(out.len());
        out[..taken].copy_from_slice(&ready[..taken]);
        self.at += taken;
        Ok(taken)
    }
}
