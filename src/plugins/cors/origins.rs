//! Which origins are allowed.

use regex::bytes::{Regex, RegexBuilder};

use crate::plugin::ConfigError;

/// `allow_origins`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Origins {
    /// `*`
    Any,
    /// `**`: whichever asks.
    Mirrored,
    /// These.
    Listed(Box<[Box<[u8]>]>),
}

impl Origins {
    pub(super) fn compile(text: &str) -> Origins {
        match text {
            "*" => Origins::Any,
            "**" => Origins::Mirrored,
            list => {
                Origins::Listed(list.split(',').map(|origin| origin.as_bytes().into()).collect())
            }
        }
    }

    /// What is answered to an origin, or to none; [`None`]: it is not allowed.
    pub(super) fn allow<'o>(&self, origin: Option<&'o [u8]>) -> Option<&'o [u8]> {
        match self {
            Origins::Any => Some(b"*"),
            Origins::Mirrored => Some(origin.unwrap_or(b"*")),
            Origins::Listed(list) => {
                origin.filter(|origin| list.iter().any(|one| **one == **origin))
            }
        }
    }
}

/// Regular expressions of which one has to be found in the origin.
pub(super) struct Patterns(Regex);

impl Patterns {
    pub(super) fn compile(
        field: &str,
        patterns: &Option<Vec<String>>,
    ) -> Result<Option<Patterns>, ConfigError> {
        let Some(patterns) = patterns else { return Ok(None) };
        for pattern in patterns {
            // By itself first: joined, a broken one could hide behind the next.
            Regex::new(pattern).map_err(|error| ConfigError::at(field, error.to_string()))?;
        }
        let joined: Vec<_> = patterns.iter().map(|pattern| format!("(?:{pattern})")).collect();
        let regex = RegexBuilder::new(&joined.join("|")).build();
        regex
            .map(|regex| Some(Patterns(regex)))
            .map_err(|error| ConfigError::at(field, error.to_string()))
    }

    pub(super) fn allow(&self, origin: &[u8]) -> bool {
        self.0.is_match(origin)
    }
}
