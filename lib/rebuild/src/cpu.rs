//! Restore and its stubs on one CPU while they take turns: each would otherwise wake another CPU up for the other, which
//! takes longer than most of what they do.

use floe_sys::{Result, affinity, set_affinity};

/// Our own thread, for the calls of sched_setaffinity(2).
const SELF: i32 = 0;

/// The CPU, chosen once: stubs are born on it and stay there.
#[derive(Debug)]
pub(crate) struct OneCpu(Option<Chosen>);

#[derive(Debug)]
struct Chosen {
    /// Affinity of restore before.
    before: Vec<u8>,
    /// The CPU alone.
    one: Vec<u8>,
}

/// The calling thread stays on the CPU until [`Stay::back`], also when this is dropped.
#[derive(Debug)]
#[must_use = "dropped, it ends"]
pub(crate) struct Stay(Vec<u8>);

impl OneCpu {
    /// The CPU that the calling thread is on; nothing happens yet.
    pub fn here() -> Result<Self> {
        let before = affinity(SELF)?;
        let Ok(cpu) = nix::sched::sched_getcpu() else { return Ok(Self(None)) };
        let mut one = vec![0; before.len()];
        let Some(byte) = one.get_mut(cpu / 8) else { return Ok(Self(None)) };
        *byte = 1 << (cpu % 8);
        Ok(Self(Some(Chosen { before, one })))
    }

    /// Keeps the calling thread there. `None` where that is not possible: without it, all is slower and nothing else.
    pub fn stay(&self) -> Option<Stay> {
        let chosen = self.0.as_ref()?;
        set_affinity(SELF, &chosen.one).ok()?;
        Some(Stay(chosen.before.clone()))
    }

    /// The affinity that a thread has which is given none.
    pub fn before(&self) -> Option<&[u8]> {
        self.0.as_ref().map(|chosen| chosen.before.as_slice())
    }
}

impl Stay {
    /// Ends it.
    pub fn back(mut self) -> Result<()> {
        set_affinity(SELF, &std::mem::take(&mut self.0))
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            // On the way out of a panic.
            let _ = set_affinity(SELF, &self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_stays_and_gets_its_cpus_back() {
        let before = affinity(SELF).unwrap();
        let cpu = OneCpu::here().unwrap();
        let stay = cpu.stay().unwrap();
        let count = |mask: Vec<u8>| mask.iter().map(|byte| byte.count_ones()).sum::<u32>();
        assert_eq!(count(affinity(SELF).unwrap()), 1);
        stay.back().unwrap();
        assert_eq!(affinity(SELF).unwrap(), before);
        drop(cpu.stay());
        assert_eq!(affinity(SELF).unwrap(), before);
        assert_eq!(cpu.before(), Some(before.as_slice()));
    }
}
