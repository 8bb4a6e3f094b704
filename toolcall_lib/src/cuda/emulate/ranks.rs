//! Emulated devices of ranks that are threads. An operation happens only when it is joined, as late
//! as a GPU may do it: a caller that reads its result, or touches its buffer, without joining gets
//! wrong numbers.

use crate::collective::{Collective, Shard, threads};
use crate::cuda::buffer::View;
use crate::cuda::ranks::{DeviceRanks, Ticket};
use crate::error::Result;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The device of a rank.
#[derive(Debug)]
pub(crate) struct EmulatedRanks {
    shard: Shard,
    /// False makes [`DeviceRanks::join`] return without waiting, for tests that must notice it.
    waits: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    meeting: Box<dyn Collective + Send>,
    started: VecDeque<(Operation, View)>,
    done: u64,
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    ReduceScatter,
    AllGather,
}

/// Makes the devices of `ranks` ranks.
pub(crate) fn emulated_ranks(ranks: usize, waits: bool) -> Vec<Arc<dyn DeviceRanks>> {
    let meetings = threads(ranks, Duration::from_secs(60)).unwrap();
    let ranks = meetings.into_iter().map(|meeting| -> Arc<dyn DeviceRanks> {
        Arc::new(EmulatedRanks {
            shard: meeting.shard(),
            waits,
            state: Mutex::new(State {
                meeting,
                started: VecDeque::new(),
                done: 0,
            }),
        })
    });
    ranks.collect()
}

impl EmulatedRanks {
    fn start(&self, operation: Operation, buffer: View) -> Result<Ticket> {
        assert!(buffer.len.is_multiple_of(self.shard.size), "{buffer:?}");
        let mut state = self.state.lock().unwrap();
        state.started.push_back((operation, buffer));
        Ok(Ticket(state.done + state.started.len() as u64))
    }
}

impl DeviceRanks for EmulatedRanks {
    fn shard(&self) -> Shard {
        self.shard
    }

    fn start_reduce_scatter(&self, buffer: View) -> Result<Ticket> {
        self.start(Operation::ReduceScatter, buffer)
    }

    fn start_all_gather(&self, buffer: View) -> Result<Ticket> {
        self.start(Operation::AllGather, buffer)
    }

    fn join(&self, ticket: Ticket) -> Result<()> {
        let mut state = self.state.lock().unwrap();
        while self.waits && state.done < ticket.0 {
            let (operation, buffer) = state.started.pop_front().unwrap();
            let all = state
                .meeting
                .exchange(&[buffer.address as f64, buffer.len as f64])?;
            assert!(all.iter().all(|other| other[1] == buffer.len as f64), "{all:?}");
            let others: Vec<u64> = all.iter().map(|other| other[0] as u64).collect();
            // SAFETY: every rank names memory of that size and is here; each writes only what the
            // others do not read.
            let undefined = unsafe { happen(operation, buffer, &others, self.shard) };
            state.meeting.exchange(&[])?; // no rank continues before all are done
            // SAFETY: the others have read it.
            undefined.for_each(|address| unsafe { (address as *mut f32).write(f32::NAN) });
            state.done += 1;
        }
        Ok(())
    }
}

/// Performs an operation. Returns the addresses of the elements that are undefined afterwards.
///
/// # Safety
/// The buffers are those of all ranks.
unsafe fn happen(
    operation: Operation,
    buffer: View,
    others: &[u64],
    shard: Shard,
) -> impl Iterator<Item = u64> + use<> {
    let (element, own) = (buffer.element.size(), shard.range(buffer.len));
    let place = move |start: u64, i: usize| start + (i * element) as u64;
    // SAFETY: the caller keeps the contract.
    unsafe {
        match operation {
            Operation::ReduceScatter => {
                // Add the ranks in their order.
                for i in own.clone() {
                    let values = others.iter().map(|&other| (place(other, i) as *const f32).read());
                    let sum = values.fold(0.0, |sum, value| sum + value);
                    (place(buffer.address, i) as *mut f32).write(sum);
                }
            }
            Operation::AllGather => {
                let others = others.iter().enumerate().filter(|(rank, _)| *rank != shard.rank);
                for (rank, &other) in others {
                    let part = Shard { rank, ..shard }.range(buffer.len);
                    let from = place(other, part.start) as *const u8;
                    from.copy_to(place(buffer.address, part.start) as *mut u8, part.len() * element);
                }
            }
        }
    }
    // The other parts of a reduce-scatter are undefined.
    let rest = (0..buffer.len).filter(move |i| !own.contains(i));
    let rest = rest.map(move |i| place(buffer.address, i));
    rest.filter(move |_| matches!(operation, Operation::ReduceScatter))
}
