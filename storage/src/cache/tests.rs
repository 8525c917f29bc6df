use super::*;
use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::thread;

const SIZE: usize = 4096;

fn cache(frames: usize) -> Cache {
    Cache::new(SIZE, frames, Arc::new(Budget::unlimited())).unwrap()
}

fn fill(ticket: &mut Ticket<'_>, page: u64) {
    ticket
        .bytes_mut()
        .chunks_exact_mut(8)
        .for_each(|word| word.copy_from_slice(&page.to_le_bytes()));
}

fn is_page(bytes: &[u8], page: u64) -> bool {
    bytes.len() == SIZE && bytes.chunks_exact(8).all(|word| word == page.to_le_bytes())
}

fn get(cache: &Cache, page: u64) -> Result<Pinned<'_>> {
    if let Some(pinned) = cache.hit(PageId(page)) {
        return Ok(pinned);
    }
    match cache.claim(PageId(page))? {
        Claim::Hit(pinned) => Ok(pinned),
        Claim::Load(mut ticket) => {
            fill(&mut ticket, page);
            Ok(ticket.land())
        }
    }
}

fn no_io() -> Error {
    let path = "/t.llmdb".into();
    Error::Vfs(llmdb_vfs::Error::Io { op: "read", path, source: std::io::Error::other("no") })
}

#[test]
fn a_page_is_loaded_once_however_many_want_it() {
    let (cache, loads, barrier) = (cache(16), AtomicUsize::new(0), Barrier::new(8));
    thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                barrier.wait();
                let pinned = match cache.claim(PageId(7)).unwrap() {
                    Claim::Hit(pinned) => pinned,
                    Claim::Load(mut ticket) => {
                        loads.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(std::time::Duration::from_millis(20));
                        fill(&mut ticket, 7);
                        ticket.land()
                    }
                };
                assert!(is_page(&pinned, 7));
            });
        }
    });
    assert_eq!(loads.into_inner(), 1);
}

/// One loads and `n` wait; what the one does with its ticket is up to `end`.
fn with_waiting<T: Send>(
    cache: &Cache,
    n: u32,
    wait: impl Fn() -> T + Sync,
    end: impl FnOnce(Ticket<'_>),
) -> Vec<T> {
    let Claim::Load(ticket) = cache.claim(PageId(7)).unwrap() else { panic!("it was not there") };
    thread::scope(|threads| {
        let waiting: Vec<_> = (0..n).map(|_| threads.spawn(&wait)).collect();
        while cache.state.lock().flights[0].waiting < n {
            thread::yield_now();
        }
        end(ticket);
        waiting.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn a_failed_read_is_told_to_those_who_waited_and_to_nobody_else() {
    let cache = cache(16);
    let wait = || cache.claim(PageId(7)).map(|_| ());
    let waited = with_waiting(&cache, 3, wait, |ticket| ticket.fail(&no_io()));
    assert!(waited.iter().all(|outcome| matches!(outcome, Err(Error::Vfs(_)))), "{waited:?}");
    assert!(cache.state.lock().flights.is_empty());
    assert!(is_page(&get(&cache, 7).unwrap(), 7));
}

#[test]
fn damage_is_judged_by_everybody_who_waited() {
    let cache = cache(16);
    let damage = |ticket: Ticket<'_>| ticket.fail(&Error::corrupt(PageId(7), "forged"));
    let waited = with_waiting(&cache, 3, || is_page(&get(&cache, 7).unwrap(), 7), damage);
    assert_eq!(waited, [true; 3]);
}

#[test]
fn a_reader_that_panics_leaves_its_page_to_the_next() {
    let cache = cache(16);
    let waited =
        with_waiting(&cache, 2, || is_page(&get(&cache, 7).unwrap(), 7), |ticket| drop(ticket));
    assert_eq!(waited, [true; 2]);
}

#[test]
fn pages_that_are_held_stay_and_where_all_are_held_a_miss_is_an_error() {
    let cache = cache(16);
    let held: Vec<_> = (1..=16).map(|page| get(&cache, page).unwrap()).collect();
    for page in 17..40 {
        assert!(matches!(get(&cache, page), Err(Error::PagesHeld { pages: 16 })));
    }
    for (pinned, page) in held.iter().zip(1..) {
        assert!(is_page(pinned, page));
    }
    // One pin less, though a copy of it was kept for a while.
    let copy = held[4].clone();
    let mut held = held;
    drop(held.remove(4));
    assert!(get(&cache, 17).is_err());
    drop(copy);
    assert!(is_page(&get(&cache, 17).unwrap(), 17));
    assert!(cache.hit(PageId(5)).is_none());
    assert!(cache.usage().bytes <= cache.usage().bytes_max);
}

#[test]
fn a_forgotten_page_is_read_again() {
    let cache = cache(16);
    drop(get(&cache, 3).unwrap());
    cache.forget(PageId(3));
    assert!(cache.hit(PageId(3)).is_none());
    // Forgotten while it was being read: whoever reads has it, nobody else finds it.
    let Claim::Load(mut ticket) = cache.claim(PageId(3)).unwrap() else { panic!("forgotten") };
    fill(&mut ticket, 99);
    cache.forget(PageId(3));
    assert!(is_page(&ticket.land(), 99));
    assert!(is_page(&get(&cache, 3).unwrap(), 3));
    // Frames of forgotten pages are used again.
    (1..200).for_each(|page| assert!(is_page(&get(&cache, page).unwrap(), page)));
}

/// Many threads, few frames: whatever is pinned is the page that was asked for, for as long as it
/// is pinned, and memory does not grow.
#[test]
fn pinned_bytes_never_change_while_frames_are_fought_over() {
    let (cache, full) = (cache(24), AtomicU64::new(0));
    thread::scope(|threads| {
        for thread in 0..4u64 {
            let (cache, full) = (&cache, &full);
            threads.spawn(move || {
                let mut held: Vec<(u64, Pinned<'_>)> = Vec::new();
                let mut z = thread + 1;
                for _ in 0..30_000 {
                    z = z.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                    let page = 1 + ((z >> 33) % 60).min((z >> 45) % 60);
                    if (z >> 20) % 97 == 0 {
                        cache.forget(PageId(page));
                    }
                    match get(cache, page) {
                        Ok(pinned) => held.push((page, pinned)),
                        Err(Error::PagesHeld { .. }) => {
                            full.fetch_add(1, Ordering::Relaxed);
                            held.clear();
                        }
                        Err(error) => panic!("{error}"),
                    }
                    if held.len() > 4 {
                        let (page, pinned) = held.swap_remove((z >> 50) as usize % 4);
                        assert!(is_page(&pinned, page));
                    }
                }
                assert!(held.iter().all(|(page, pinned)| is_page(pinned, *page)));
            });
        }
    });
    assert_eq!(cache.usage().bytes, cache.usage().bytes_max);
    assert!(cache.tenancies.iter().all(|t| t.state.load(Ordering::Relaxed) == 0));
    // Each frame is in one place: a queue or the free list.
    let state = cache.state.lock();
    let all: BTreeSet<u32> = state.queues.all().chain(state.free.listed()).collect();
    assert_eq!((all.len(), state.queues.all().count() + state.free.listed().count()), (24, 24));
}

/// A cache that may not grow goes on with the frames that it has; what it took it gives back.
#[test]
fn a_cache_takes_its_frames_from_the_budget() {
    let budget = Arc::new(Budget::new(40 * 4192));
    let cache = Cache::new(SIZE, 100, budget.clone()).unwrap();
    (1..200).for_each(|page| assert!(is_page(&get(&cache, page).unwrap(), page)));
    let taken = budget.used_for(MemoryUse::Cache);
    assert_eq!(taken, cache.usage().bytes);
    assert!((30 * 4192..=40 * 4192).contains(&taken), "{taken}");
    drop(cache);
    assert_eq!(budget.used_for(MemoryUse::Cache), 0);
}
