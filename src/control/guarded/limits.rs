//! What a guarded change must not exceed, and how it is asked for.

use std::time::Duration;

use serde::Serialize;

use super::Seen;

/// The longest time that a change is watched.
const SECONDS_MAX: f64 = 24.0 * 3600.0;
/// Requests that have to be seen before anything is judged, where nothing else is asked for: of
/// fewer, one that fails would be a large share.
const REQUESTS: u64 = 20;

/// What is allowed, for how long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Limits {
    /// How long is watched.
    pub seconds: f64,
    /// The share of answers from 500 up, 0 to 1.
    pub max_error_share: Option<f64>,
    /// The latency that 99 % of the requests must not exceed, in milliseconds.
    pub max_p99_ms: Option<f64>,
    /// Nothing is judged before so many requests have ended.
    pub min_requests: u64,
}

impl Default for Limits {
    /// None yet.
    fn default() -> Limits {
        let (max_error_share, max_p99_ms) = (None, None);
        Limits { seconds: 0.0, max_error_share, max_p99_ms, min_requests: REQUESTS }
    }
}

impl Limits {
    /// Of the arguments `guard`, `max_error_share`, `max_p99_ms` and `min_requests` of a URL; no
    /// `guard`: nothing is guarded.
    ///
    /// # Errors
    /// With the argument that is wrong.
    pub fn of_query(query: &str) -> Result<Option<Limits>, String> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let known = ["guard", "max_error_share", "max_p99_ms", "min_requests"];
        let asked: Vec<_> = pairs.filter(|(name, _)| known.contains(name)).collect();
        if !asked.iter().any(|(name, _)| *name == "guard") {
            return Ok(None);
        }
        Limits::of(asked.into_iter()).map(Some)
    }

    /// Of the field `X-Ringgate-Guard: seconds=30, error_share=0.05, p99_ms=200, requests=20`.
    ///
    /// # Errors
    /// With what is wrong in it.
    pub fn of_field(text: &str) -> Result<Limits, String> {
        let mut pairs = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').ok_or_else(|| format!("expected name=value, got {part:?}"))?;
            pairs.push(match name.trim() {
                "seconds" => ("guard", value.trim()),
                "error_share" => ("max_error_share", value.trim()),
                "p99_ms" => ("max_p99_ms", value.trim()),
                "requests" => ("min_requests", value.trim()),
                other => {
                    let known = "seconds, error_share, p99_ms, requests";
                    return Err(format!("{other}: unknown, expected {known}"));
                }
            });
        }
        Limits::of(pairs.into_iter())
    }

    fn of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Limits, String> {
        let mut limits = Limits::default();
        for (name, text) in pairs {
            let number = |min: f64, max: f64| -> Result<f64, String> {
                let number = text.parse().ok().filter(|number| (min..=max).contains(number));
                number.ok_or_else(|| format!("{name}: expected {min} to {max}, got {text:?}"))
            };
            match name {
                "guard" => limits.seconds = number(0.1, SECONDS_MAX)?,
                "max_error_share" => limits.max_error_share = Some(number(0.0, 1.0)?),
                "max_p99_ms" => limits.max_p99_ms = Some(number(0.001, 600_000.0)?),
                _ => limits.min_requests = number(1.0, 1e9)? as u64,
            }
        }
        limits.checked()
    }

    /// Whether they make sense together.
    ///
    /// # Errors
    /// With what is missing.
    pub fn checked(self) -> Result<Limits, String> {
        if self.seconds <= 0.0 {
            return Err("seconds: how long is to be watched is not told".into());
        }
        if self.max_error_share.is_none() && self.max_p99_ms.is_none() {
            return Err("a guard needs a limit: max_error_share, max_p99_ms or both".into());
        }
        Ok(self)
    }

    /// How long is watched.
    pub fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// Why what was seen is too much, if so.
    pub fn exceeded(&self, seen: &Seen) -> Option<String> {
        if seen.requests < self.min_requests {
            return None;
        }
        let Seen { requests, errors, error_share, p99_ms, .. } = seen;
        if let Some(most) = self.max_error_share.filter(|most| error_share > most) {
            return Some(format!(
                "error share {error_share:.4} above {most} ({errors} of {requests} requests)"
            ));
        }
        let most = self.max_p99_ms.filter(|most| p99_ms > most)?;
        Some(format!("p99 of {p99_ms} ms above {most} ms ({requests} requests)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asked_for_in_a_query_or_a_field() {
        assert_eq!(Limits::of_query("ttl=5&force=true"), Ok(None));
        let expected = Limits {
            seconds: 30.0,
            max_error_share: Some(0.05),
            max_p99_ms: Some(200.0),
            min_requests: REQUESTS,
        };
        let query = "force=true&guard=30&max_error_share=0.05&max_p99_ms=200";
        assert_eq!(Limits::of_query(query), Ok(Some(expected)));
        let field = "seconds=30, error_share=0.05,p99_ms = 200";
        assert_eq!(Limits::of_field(field), Ok(expected));
        for wrong in
            ["guard=5", "guard=0&max_p99_ms=1", "guard=NaN&max_p99_ms=1", "guard=1e9&max_p99_ms=1"]
        {
            assert!(Limits::of_query(wrong).is_err(), "{wrong}");
        }
        assert!(Limits::of_field("error_share=0.1").unwrap_err().contains("seconds"));
        assert!(Limits::of_field("seconds").unwrap_err().contains("name=value"));
        assert!(Limits::of_field("second=5").unwrap_err().contains("unknown"));
    }

    #[test]
    fn nothing_is_judged_by_few_requests() {
        let limits = Limits {
            seconds: 1.0,
            max_error_share: Some(0.1),
            max_p99_ms: Some(50.0),
            min_requests: 20,
        };
        let seen = |requests, errors, p99_ms| Seen {
            requests,
            errors,
            error_share: errors as f64 / requests as f64,
            p50_ms: 1.0,
            p99_ms,
        };
        assert_eq!(limits.exceeded(&seen(19, 19, 900.0)), None);
        assert_eq!(limits.exceeded(&seen(20, 2, 50.0)), None);
        let told = limits.exceeded(&seen(20, 3, 1.0)).unwrap();
        assert_eq!(told, "error share 0.1500 above 0.1 (3 of 20 requests)");
        let told = limits.exceeded(&seen(20, 0, 50.1)).unwrap();
        assert_eq!(told, "p99 of 50.1 ms above 50 ms (20 requests)");
    }
}
