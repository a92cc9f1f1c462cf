//! Extended state of threads: XSAVE blocks in the standard form (Intel SDM volume 1, 13.4).

use super::PKRU;
use crate::Machine;
use floe_records::*;

/// Legacy area and header.
const HEAD: usize = 576;
/// Where the header begins: which components the block has (XSTATE_BV).
const XSTATE_BV: usize = 512;
/// Where the kernel notes XCR0.
const XCR0: usize = 464;
/// PKRU of a thread that has never set it (`init_pkru` of arch/x86/mm/pkeys.c): no access by any key but 0.
const NO_KEYS: u32 = 0x5555_5554;

/// Names of components of XCR0, each once.
pub(super) fn names(components: u64) -> Vec<String> {
    let known = |number| match number {
        0 | 1 => "x87 and SSE".to_owned(),
        2 => "AVX".to_owned(),
        5..=7 => "AVX-512".to_owned(),
        PKRU => "protection keys (pku)".to_owned(),
        17 | 18 => "AMX".to_owned(),
        19 => "APX".to_owned(),
        // Bounds of MPX, which kernels have given up, and what belongs to the kernel alone.
        3 | 4 | 8 | 10..=16 => String::new(),
        other => format!("component {other} of XCR0"),
    };
    let mut names: Vec<String> =
        (0..64u8).filter(|number| components >> number & 1 == 1).map(known).collect();
    names.retain(|name| !name.is_empty());
    names.dedup();
    names
}

/// How blocks of one processor become those of another one.
pub(super) struct Fit<'a> {
    from: Vec<StateComponent>,
    machine: &'a Machine,
}

impl<'a> Fit<'a> {
    /// `None` where they are the same, and where nobody knows how the other one keeps its state.
    pub fn between(tree: &Tree, machine: &'a Machine) -> Option<Self> {
        let from = match tree.all::<Cpu>().first() {
            Some(cpu) => cpu.layout.clone(),
            None => {
                let len = tree.all::<Thread>().first()?.xstate.0.len();
                guessed(tree.begin()?.xfeatures, len, machine)?
            }
        };
        (from != machine.cpu.layout).then_some(Self { from, machine })
    }

    /// Whether this processor keeps less.
    pub fn shrinks(&self) -> bool {
        length(&self.from) > self.machine.xstate_len
    }

    /// The block of a thread as this processor keeps it; `None` where something in it has no place here.
    pub fn block(&self, block: &[u8], uses_keys: bool) -> Option<Vec<u8>> {
        if block.len() != length(&self.from) {
            return None;
        }
        let mut fitted = vec![0; self.machine.xstate_len.max(HEAD)];
        fitted[..HEAD].copy_from_slice(&block[..HEAD]);
        let had = u64::from_ne_bytes(*block[XSTATE_BV..].first_chunk()?);
        let mut has = had;
        for component in self.from.iter().filter(|it| had >> it.number & 1 == 1) {
            let at = component.offset as usize;
            let bytes = block.get(at..at + component.size as usize)?;
            let mut here = self.machine.cpu.layout.iter();
            match here.find(|it| it.number == component.number) {
                Some(it) if it.size == component.size => {
                    let at = it.offset as usize;
                    fitted.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
                }
                // What is zero is as if it had never been touched.
                None if bytes.iter().all(|byte| *byte == 0) => has &= !(1 << component.number),
                None if component.number == PKRU && !uses_keys => has &= !(1 << PKRU),
                _ => return None,
            }
        }
        let new = |it: &&StateComponent| {
            it.number == PKRU && !self.from.iter().any(|old| old.number == PKRU)
        };
        if let Some(it) = self.machine.cpu.layout.iter().find(new) {
            let at = it.offset as usize;
            fitted.get_mut(at..at + 4)?.copy_from_slice(&NO_KEYS.to_ne_bytes());
            has |= 1 << PKRU;
        }
        fitted[XSTATE_BV..XSTATE_BV + 8].copy_from_slice(&has.to_ne_bytes());
        fitted[XCR0..XCR0 + 8].copy_from_slice(&self.machine.xfeatures.to_ne_bytes());
        Some(fitted)
    }
}

/// Bytes of a block.
fn length(layout: &[StateComponent]) -> usize {
    layout.iter().map(|it| (it.offset + it.size) as usize).max().unwrap_or(HEAD)
}

/// The layout of a processor that has told its components and the length of its blocks alone. AVX has one place, protection keys stand
/// behind all others; what else there is must be what this processor has too.
fn guessed(xfeatures: u64, len: usize, machine: &Machine) -> Option<Vec<StateComponent>> {
    let has = |number: u8| xfeatures >> number & 1 == 1;
    let mut layout = machine.cpu.layout.clone();
    layout.retain(|it| has(it.number) && it.number != PKRU);
    let others = !(7 | 1 << PKRU);
    if xfeatures & others != 0 && (xfeatures ^ machine.xfeatures) & others != 0 {
        return None;
    }
    if has(PKRU) {
        let offset = u32::try_from(len.checked_sub(8)?).ok()?;
        layout.push(StateComponent { number: PKRU, offset, size: 8 });
    }
    layout.sort();
    (length(&layout) == len).then_some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With AVX, and behind it AVX-512 as Intel (with a gap for MPX) or AMD has it, and protection keys.
    fn layout(gap: u32, avx512: bool, keys: bool) -> Vec<StateComponent> {
        let of = |number, offset, size| StateComponent { number, offset, size };
        let mut all = vec![of(2, 576, 256)];
        let start = 832 + gap;
        if avx512 {
            all.extend([of(5, start, 64), of(6, start + 64, 512), of(7, start + 576, 1024)]);
        }
        if keys {
            all.push(of(PKRU, start + if avx512 { 1600 } else { 0 }, 8));
        }
        all
    }

    fn machine(layout: Vec<StateComponent>) -> Machine {
        let xfeatures = layout.iter().fold(3, |all, it| all | 1 << it.number);
        let cpu = Cpu { words: Vec::new(), layout };
        let xstate_len = length(&cpu.layout);
        Machine {
            taken: Vec::new(),
            xfeatures,
            xstate_len,
            cpu,
            pid_max: 0,
            descriptors: 0,
            capabilities: 0,
            filtered: false,
            limits: Vec::new(),
            oom_score_adj: 0,
            pipe: 0,
        }
    }

    /// A block with all components, each filled with its number.
    fn block(layout: &[StateComponent]) -> Vec<u8> {
        let mut block = vec![0; length(layout)];
        let mut has = 3u64;
        for it in layout {
            let at = it.offset as usize;
            block[at..at + it.size as usize].fill(it.number);
            has |= 1 << it.number;
        }
        block[..XCR0].fill(1);
        block[XSTATE_BV..HEAD].fill(0);
        block[XSTATE_BV..XSTATE_BV + 8].copy_from_slice(&has.to_ne_bytes());
        block
    }

    fn fit(from: &[StateComponent], to: Vec<StateComponent>, uses_keys: bool) -> Option<Vec<u8>> {
        let machine = machine(to);
        let fit = Fit { from: from.to_vec(), machine: &machine };
        fit.block(&block(from), uses_keys)
    }

    #[test]
    fn components_move_to_their_places() {
        let (intel, amd) = (layout(256, true, true), layout(0, true, true));
        let mut moved = fit(&intel, amd.clone(), true).expect("it fits");
        moved[XCR0..XSTATE_BV].fill(0);
        let mut wanted = block(&amd);
        wanted[XCR0..XSTATE_BV].fill(0);
        assert!(moved == wanted);
    }

    #[test]
    fn keys_are_left_out_where_nobody_uses_them() {
        let (with, without) = (layout(0, true, true), layout(0, true, false));
        let fitted = fit(&with, without.clone(), false).expect("it fits");
        assert_eq!(fitted.len(), length(&without));
        assert_eq!(fitted[XSTATE_BV..XSTATE_BV + 8], 0xe7u64.to_ne_bytes());
        assert_eq!(fit(&with, without.clone(), true), None);
        let back = fit(&without, with.clone(), false).expect("it fits");
        let at = with.last().unwrap().offset as usize;
        assert_eq!(back[at..at + 4], NO_KEYS.to_ne_bytes());
    }

    #[test]
    fn what_holds_something_must_have_a_place() {
        let (with, without) = (layout(0, true, false), layout(0, false, false));
        assert_eq!(fit(&with, without.clone(), false), None);
        let machine = machine(without);
        let fit = Fit { from: with.clone(), machine: &machine };
        let mut untouched = block(&with);
        untouched[832..].fill(0);
        let fitted = fit.block(&untouched, false).expect("it fits");
        assert_eq!(fitted[XSTATE_BV..XSTATE_BV + 8], 7u64.to_ne_bytes());
        assert_eq!(fit.block(&untouched[..900], false), None, "another length");
    }

    #[test]
    fn names_are_those_of_people() {
        assert_eq!(names(0xe0 | 1 << 17 | 1 << 18 | 3 << 3), ["AVX-512", "AMX"]);
        assert_eq!(names(1 << 40), ["component 40 of XCR0"]);
    }
}
