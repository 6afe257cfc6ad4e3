//! How long a server is waited for.

use std::time::Duration;

/// Longest wait that a server may ask for.
const LONGEST: Duration = Duration::from_secs(300);

/// How long a server is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Faults of one request, each of which passes and between which no byte comes, before it is given up.
    pub tries: u32,
    /// Wait after the first of them; twice as long after each further one.
    pub wait: Duration,
    /// Longest silence within an answer.
    pub idle: Duration,
    /// Longest wait for a connection.
    pub connect: Duration,
}

impl Default for Patience {
    /// Gives a request up after about a minute.
    fn default() -> Self {
        Self {
            tries: 9,
            wait: Duration::from_millis(200),
            idle: Duration::from_secs(30),
            connect: Duration::from_secs(5),
        }
    }
}

impl Patience {
    /// The wait after the fault number `fault`, counted from 1: what the server asks for, or more each time. `salt` keeps
    /// requests that failed together from coming back together. `None` if the server asks for too long a wait.
    pub(super) fn pause(&self, fault: u32, asked: Option<Duration>, salt: u64) -> Option<Duration> {
        if let Some(asked) = asked {
            return (asked <= LONGEST).then_some(asked);
        }
        let whole = self.wait.saturating_mul(1 << (fault - 1).min(16)).min(LONGEST / 10);
        let hash = salt.wrapping_add(u64::from(fault)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
        Some(whole * (192 + hash as u32 / 2) / 256)
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, Patience};
    use std::time::Duration;

    #[test]
    fn waits_grow_and_are_never_longer_than_said() {
        let patience = Patience::default();
        for salt in 0..300 {
            let waits: Vec<_> = (1..9).map(|fault| patience.pause(fault, None, salt).unwrap()).collect();
            assert!(waits.windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
            assert!(waits[0] >= patience.wait * 3 / 4 && waits[0] <= patience.wait * 5 / 4, "{waits:?}");
        }
        let asked = Duration::from_secs(7);
        assert_eq!(patience.pause(1, Some(asked), 0), Some(asked));
        assert_eq!(patience.pause(1, Some(LONGEST + asked), 0), None);
    }
}
