//! The floating-point control word of worker threads.
//!
//! A thread inherits flush-to-zero and rounding modes from the one that spawns it, and other libraries set them
//! process-wide (`torch.set_flush_denormal`). A soup must not depend on that, so workers reset theirs first.
#![allow(unsafe_code, reason = "the control word is reachable by inline assembly only")]

/// Round to nearest, keep subnormals, raise nothing: the mode that Rust assumes everywhere.
pub(crate) fn reset() {
    #[cfg(target_arch = "x86_64")]
    {
        // All exceptions masked, round to nearest, FTZ and DAZ off: the value at process start.
        let control: u32 = 0x1f80;
        // SAFETY: loads a valid MXCSR value from a live stack slot; it restores the state the compiler assumes.
        unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const control, options(nostack, readonly)) };
    }
    #[cfg(target_arch = "aarch64")]
    {
        // SAFETY: zero is the architectural reset value of FPCR; it restores the state the compiler assumes.
        unsafe { std::arch::asm!("msr fpcr, xzr", options(nostack, nomem)) };
    }
}
