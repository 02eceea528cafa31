//! From a sample to a backtrace: unwinds a copied stack by the tables of the loaded modules.
//!
//! Runs on the watcher's thread and touches only copies. The tables (`.eh_frame`) are copied
//! too, while the loader's list is locked: a library may be unloaded at any time.

use std::fmt::Write as _;

use super::sample::Sample;
use crate::inspect::symbols;

/// The most frames that are shown, before folding.
const FRAMES_MAX: usize = 256;

/// The sample's stack as text, folded as all are; innermost first.
pub(super) fn describe(sample: &Sample) -> String {
    let frames = symbols::resolve(&frames(sample)).frames;
    // Reports are rare, and the debug information that was read for one is large.
    symbols::forget();
    let mut text = String::new();
    for (index, frame) in frames.iter().enumerate() {
        // Of std's own frames in a row only the one that was called.
        if is_stds(frame) && frames.get(index + 1).is_some_and(is_stds) {
            continue;
        }
        let _ = writeln!(text, "      {}", frame.function);
        if let Some(file) = &frame.file {
            let _ = writeln!(text, "        at {file}:{}", frame.line.unwrap_or(0));
        }
    }
    if text.is_empty() {
        return "      (no frames were found)\n".into();
    }
    text
}

/// Says whether it is a function of std's, by the file it is in.
fn is_stds(frame: &symbols::Frame) -> bool {
    let file = frame.file.as_deref().unwrap_or_default();
    file.starts_with("/rustc/") || file.contains("/rustlib/src/rust/library/")
}

/// The sample's stack as return addresses, innermost first.
pub(super) fn frames(sample: &Sample) -> Vec<usize> {
    let mut addresses = addresses(sample);
    if let Some(first) = addresses.first_mut() {
        // The others are return addresses, which lie behind their calls.
        *first += 1;
    }
    addresses
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn addresses(sample: &Sample) -> Vec<usize> {
    use framehop::Unwinder as _;

    let mut unwinder = framehop::UnwinderNative::new();
    for module in modules::of(sample) {
        unwinder.add_module(module);
    }
    let registers = sample.registers;
    let [ip, sp, fp] = [registers.ip, registers.sp, registers.fp].map(|value| value as u64);
    #[cfg(target_arch = "x86_64")]
    let regs = framehop::UnwindRegsNative::new(ip, sp, fp);
    #[cfg(target_arch = "aarch64")]
    let regs = framehop::UnwindRegsNative::new(registers.lr as u64, sp, fp);
    let mut cache = framehop::CacheNative::<_>::new();
    let mut read = |address: u64| {
        let at = usize::try_from(address.checked_sub(sp).ok_or(())?).map_err(drop)?;
        let word = sample.stack.get(at..).and_then(|rest| rest.first_chunk());
        word.map(|word| u64::from_ne_bytes(*word)).ok_or(())
    };
    let mut frames = unwinder.iter_frames(ip, regs, &mut cache, &mut read);
    let mut found = Vec::new();
    while let Ok(Some(frame)) = frames.next() {
        found.push(frame.address() as usize);
        if found.len() == FRAMES_MAX {
            break;
        }
    }
    found
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn addresses(sample: &Sample) -> Vec<usize> {
    let _ = FRAMES_MAX;
    Some(sample.registers.ip)
        .filter(|ip| *ip != 0)
        .into_iter()
        .collect()
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod modules {
    use std::ffi::{c_int, c_void};
    use std::ops::Range;
    use std::slice;

    use framehop::{ExplicitModuleSectionInfo, Module};

    use super::Sample;

    /// The modules whose code the sample seems to be in.
    pub(super) fn of(sample: &Sample) -> Vec<Module<Vec<u8>>> {
        let words = sample.stack.chunks_exact(size_of::<usize>());
        let words = words.filter_map(|word| Some(usize::from_ne_bytes(word.try_into().ok()?)));
        let mut search = Search {
            words: words
                .chain([sample.registers.ip, sample.registers.lr])
                .collect(),
            found: Vec::new(),
        };
        // SAFETY: the callback has the signature that is asked for, and `data` is what it
        // takes it for; it doesn't unwind out: see there.
        unsafe { libc::dl_iterate_phdr(Some(look_at), (&raw mut search).cast()) };
        search.found
    }

    struct Search {
        words: Vec<usize>,
        found: Vec<Module<Vec<u8>>>,
    }

    /// Takes one module, if a word points into its code. Bounds come from the module's own
    /// headers; a panic here would abort, as in any `extern "C"` function.
    unsafe extern "C" fn look_at(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader's, and what `of` gave.
        let (info, search) = unsafe { (&*info, &mut *data.cast::<Search>()) };
        // SAFETY: the loader's table of the module's segments.
        let headers = unsafe { slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
        let base = info.dlpi_addr as usize;
        let range = |header: &libc::Elf64_Phdr| {
            let start = base.wrapping_add(header.p_vaddr as usize);
            start..start.wrapping_add(header.p_memsz as usize)
        };
        let loaded = || {
            headers
                .iter()
                .filter(|header| header.p_type == libc::PT_LOAD)
        };
        let code = |header: &&libc::Elf64_Phdr| header.p_flags & libc::PF_X != 0;
        let hit = loaded()
            .filter(code)
            .map(range)
            .any(|code| search.words.iter().any(|word| code.contains(word)));
        let index = headers
            .iter()
            .find(|header| header.p_type == libc::PT_GNU_EH_FRAME);
        let (true, Some(index)) = (hit, index.map(range)) else {
            return 0;
        };
        let start = loaded()
            .map(|header| range(header).start)
            .min()
            .unwrap_or(base);
        let end = loaded()
            .map(|header| range(header).end)
            .max()
            .unwrap_or(base);
        // SAFETY: a segment of a loaded module; it can't be unloaded in here.
        let index_bytes = unsafe { bytes(&index) };
        let Some(frames) = frames_of(&index, index_bytes) else {
            return 0;
        };
        let Some(segment) = loaded()
            .map(range)
            .find(|segment| segment.contains(&frames))
        else {
            return 0;
        };
        let frames = frames..segment.end;
        let relative = |range: &Range<usize>| {
            (range.start.wrapping_sub(base)) as u64..(range.end.wrapping_sub(base)) as u64
        };
        search.found.push(Module::new(
            String::new(),
            start as u64..end as u64,
            base as u64,
            ExplicitModuleSectionInfo {
                base_svma: 0,
                eh_frame_hdr_svma: Some(relative(&index)),
                eh_frame_hdr: Some(index_bytes.to_vec()),
                eh_frame_svma: Some(relative(&frames)),
                // SAFETY: as above.
                eh_frame: Some(unsafe { bytes(&frames) }.to_vec()),
                ..Default::default()
            },
        ));
        0
    }

    /// # Safety
    ///
    /// The range is mapped readable while the slice is used.
    unsafe fn bytes<'a>(range: &Range<usize>) -> &'a [u8] {
        let start = std::ptr::with_exposed_provenance(range.start);
        // SAFETY: by the contract above.
        unsafe { slice::from_raw_parts(start, range.len()) }
    }

    /// Where `.eh_frame` begins, by the head of its index (`.eh_frame_hdr`): relative to the
    /// field itself in four bytes, as all linkers write it.
    fn frames_of(index: &Range<usize>, bytes: &[u8]) -> Option<usize> {
        const VERSION: u8 = 1;
        const PCREL_SDATA4: u8 = 0x1b;
        let [VERSION, PCREL_SDATA4, _, _, rest @ ..] = bytes else {
            return None;
        };
        let offset = i32::from_ne_bytes(*rest.first_chunk()?);
        index
            .start
            .wrapping_add(4)
            .checked_add_signed(offset as isize)
    }
}
