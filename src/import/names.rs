//! Names and times of other gateways as resources have them.

/// Bytes of an id.
pub(super) const ID_MAX: usize = 64;

/// An id made of a name: what ids cannot hold becomes `-`.
pub(super) fn slug(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut slug: String = name.chars().map(|c| if fits(c) { c } else { '-' }).collect();
    slug.truncate(ID_MAX);
    if slug.is_empty() { "unnamed".into() } else { slug }
}

/// A username made of a name.
pub(super) fn username(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut username: String = name.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    username.truncate(256);
    if username.is_empty() { "unnamed".into() } else { username }
}

/// Seconds of a duration as Go writes it (`1m30s`, `500ms`, `1.5s`), or of a bare number of them.
pub(super) fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return (number.is_finite() && number >= 0.0).then_some(number);
    }
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let factor = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    (!text.is_empty() && sum.is_finite()).then_some(sum)
}

/// A number in JSON: whole where it is.
pub(super) fn number(value: f64) -> serde_json::Value {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        (value as i64).into()
    } else {
        // To the microsecond: enough for a time, and without noise of binary fractions.
        ((value * 1e6).round() / 1e6).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_ids() {
        assert_eq!(slug("My service/ö"), "My-service--");
        assert_eq!(slug(""), "unnamed");
        assert_eq!(slug(&"a".repeat(100)).len(), ID_MAX);
        assert_eq!(username("a.b@c"), "a_b_c");
    }

    #[test]
    fn durations() {
        for (text, expected) in [
            ("10s", Some(10.0)),
            ("1m30s", Some(90.0)),
            ("500ms", Some(0.5)),
            ("1.5s", Some(1.5)),
            ("7", Some(7.0)),
            ("1h", Some(3600.0)),
            ("", None),
            ("s", None),
            ("5 parsecs", None),
            ("-1s", None),
            ("nan", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
