//! The state machine of one endpoint's health, as in lua-resty-healthcheck: four counters and
//! four states. Pure; [`crate::upstream::endpoint::EndpointState`] keeps it in one atomic word,
//! as the original keeps it in one shared integer.

/// What a check or a request showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It connected (tcp), or answered with a healthy status (http).
    Success,
    /// It answered with an unhealthy status.
    HttpFailure,
    /// It did not connect, or the connection broke.
    TcpFailure,
    /// It took too long.
    Timeout,
}

/// How an endpoint is. The middle states serve like the outer ones but are on their way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Status {
    /// Up.
    #[default]
    Healthy,
    /// Up, with failures since.
    MostlyHealthy,
    /// Down, with successes since.
    MostlyUnhealthy,
    /// Down.
    Unhealthy,
}

impl Status {
    /// Whether requests go there.
    pub fn is_up(self) -> bool {
        matches!(self, Status::Healthy | Status::MostlyHealthy)
    }

    /// APISIX's name, in the Control API.
    pub fn name(self) -> &'static str {
        match self {
            Status::Healthy => "healthy",
            Status::MostlyHealthy => "mostly_healthy",
            Status::MostlyUnhealthy => "mostly_unhealthy",
            Status::Unhealthy => "unhealthy",
        }
    }
}

/// Status and the four counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the counters of `Outcome`
pub struct HealthState {
    pub status: Status,
    pub success: u8,
    pub http_failure: u8,
    pub tcp_failure: u8,
    pub timeout: u8,
}

impl HealthState {
    /// The state after one more outcome. A limit of 0 turns the counter off. A success clears
    /// the failures and the other way round, so only an unbroken run (of mixed failures, each
    /// kind with its own limit) changes the status.
    pub fn after(self, outcome: Outcome, limit: u8) -> HealthState {
        let settled = match outcome {
            Outcome::Success => Status::Healthy,
            _ => Status::Unhealthy,
        };
        if limit == 0 || self.status == settled {
            return self;
        }
        let mut next = self;
        let counter = match outcome {
            Outcome::Success => {
                (next.http_failure, next.tcp_failure, next.timeout) = (0, 0, 0);
                &mut next.success
            }
            Outcome::HttpFailure => &mut next.http_failure,
            Outcome::TcpFailure => &mut next.tcp_failure,
            Outcome::Timeout => &mut next.timeout,
        };
        *counter = counter.saturating_add(1);
        let reached = *counter >= limit;
        if outcome != Outcome::Success {
            next.success = 0;
        }
        next.status = match (self.status, settled) {
            _ if reached => settled,
            (Status::Healthy, _) => Status::MostlyHealthy,
            (Status::Unhealthy, _) => Status::MostlyUnhealthy,
            (status, _) => status,
        };
        next
    }

    /// Packed into a word.
    pub fn to_bits(self) -> u64 {
        let bytes = [self.status as u8, self.success, self.http_failure, self.tcp_failure];
        u64::from(u32::from_le_bytes(bytes)) | u64::from(self.timeout) << 32
    }

    /// From a word.
    pub fn from_bits(bits: u64) -> HealthState {
        let [status, success, http_failure, tcp_failure, timeout, ..] = bits.to_le_bytes();
        let status = match status {
            0 => Status::Healthy,
            1 => Status::MostlyHealthy,
            2 => Status::MostlyUnhealthy,
            _ => Status::Unhealthy,
        };
        HealthState { status, success, http_failure, tcp_failure, timeout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mut state: HealthState, outcomes: &[(Outcome, u8)]) -> HealthState {
        for (outcome, limit) in outcomes {
            state = HealthState::from_bits(state.to_bits()).after(*outcome, *limit);
        }
        state
    }

    const OK: (Outcome, u8) = (Outcome::Success, 2);
    const BAD: (Outcome, u8) = (Outcome::HttpFailure, 3);
    const REFUSED: (Outcome, u8) = (Outcome::TcpFailure, 2);

    #[test]
    fn an_unbroken_run_of_failures_takes_it_down_and_successes_bring_it_back() {
        let start = HealthState::default();
        assert_eq!(run(start, &[BAD]).status, Status::MostlyHealthy);
        assert_eq!(run(start, &[BAD, BAD, OK, BAD, BAD]).status, Status::MostlyHealthy);
        let down = run(start, &[BAD, BAD, BAD]);
        assert_eq!(down.status, Status::Unhealthy);
        assert_eq!(run(down, &[OK]).status, Status::MostlyUnhealthy);
        assert_eq!(run(down, &[OK, BAD, OK]).status, Status::MostlyUnhealthy);
        assert_eq!(run(down, &[OK, OK]).status, Status::Healthy);
        assert_eq!(run(start, &[BAD, OK, OK]).status, Status::Healthy);
    }

    #[test]
    fn each_kind_of_failure_has_its_own_limit() {
        let start = HealthState::default();
        let mixed = run(start, &[BAD, REFUSED, BAD]);
        assert_eq!((mixed.http_failure, mixed.tcp_failure), (2, 1));
        assert_eq!(mixed.status, Status::MostlyHealthy);
        assert_eq!(run(mixed, &[REFUSED]).status, Status::Unhealthy);
    }

    #[test]
    fn a_limit_of_zero_counts_nothing() {
        let start = HealthState::default();
        assert_eq!(run(start, &[(Outcome::Timeout, 0); 300]), start);
        let down = run(start, &[BAD, BAD, BAD]);
        assert_eq!(run(down, &[(Outcome::Success, 0); 300]), down);
    }

    #[test]
    fn nothing_is_written_while_it_is_well_or_already_down() {
        let start = HealthState::default();
        assert_eq!(start.after(Outcome::Success, 2), start);
        let down = run(start, &[BAD, BAD, BAD]);
        assert_eq!(down.after(Outcome::Timeout, 9), down);
    }
}
