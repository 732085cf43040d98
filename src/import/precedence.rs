//! Whether routes come in the order that their source has. Here the host decides, then the URI, then
//! `priority`; a source that ranks all routes by one number, or by how much they ask for, may say
//! otherwise for two routes that take the same request.

use super::draft::Draft;

/// Routes that are compared pair by pair; beyond, that they were not is told instead.
const COMPARED_MAX: usize = 2000;
/// Contradictions that are told one by one.
const TOLD_MAX: usize = 100;

/// A route's place in the source's order.
pub(super) struct Ranked {
    /// Its name in the source.
    pub(super) name: String,
    pub(super) origin: String,
    /// Higher comes first in the source.
    pub(super) rank: (i64, i64),
    /// Empty: all.
    pub(super) hosts: Vec<String>,
    pub(super) uris: Vec<String>,
}

/// Tells every pair whose order is another one here.
pub(super) fn contradictions(draft: &Draft<'_>, routes: &[Ranked]) {
    if routes.len() > COMPARED_MAX {
        let reason = format!(
            "whether {} routes keep their order was not looked at: here the host comes first, then \
             the longer URI, then the priority",
            routes.len()
        );
        draft.lose("", reason);
        return;
    }
    let mut told = 0;
    for first in routes {
        let ahead =
            routes.iter().filter(|other| other.rank < first.rank && other.name != first.name);
        let Some(other) = ahead.into_iter().find(|other| is_overtaken(first, other)) else {
            continue;
        };
        told += 1;
        if told > TOLD_MAX {
            draft.lose("", "more routes than these do not keep their order");
            return;
        }
        let reason = format!(
            "comes before {} there and after it here, where the host decides first, then the longer \
             URI",
            other.name
        );
        draft.lose(&first.origin, reason);
    }
}

/// Whether some request that `first` should take goes to `other` for its host or its URI.
fn is_overtaken(first: &Ranked, other: &Ranked) -> bool {
    let hosts = |route: &Ranked| match route.hosts.is_empty() {
        true => vec!["*".to_owned()],
        false => route.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
    };
    let (mine, others) = (hosts(first), hosts(other));
    let pairs = mine.iter().flat_map(|mine| others.iter().map(move |other| (mine, other)));
    for (host, rival) in pairs {
        let by_host = match specificity(host, rival) {
            // Both are the same.
            Some(0) => 0,
            Some(order) => order,
            None => continue,
        };
        for uri in &first.uris {
            for rival in &other.uris {
                match (by_host, specificity(&wildcard(uri), &wildcard(rival))) {
                    (_, None) => {}
                    // The rival's host is more specific, or its URI is under the same host.
                    (-1, Some(_)) | (0, Some(-1)) => return true,
                    _ => {}
                }
            }
        }
    }
    false
}

/// A URI backwards, so that its wildcard stands where a host's does.
fn wildcard(uri: &str) -> String {
    uri.chars().rev().collect()
}

/// How two patterns with a star in front relate: 0 the same, 1 the first is within the second, -1
/// the other way round, none where nothing fits both.
fn specificity(one: &str, other: &str) -> Option<i8> {
    let within = |narrow: &str, wide: &str| match wide.strip_prefix('*') {
        Some(end) => narrow.trim_start_matches('*').ends_with(end) && narrow != wide,
        None => false,
    };
    if one == other {
        Some(0)
    } else if within(one, other) {
        Some(1)
    } else if within(other, one) {
        Some(-1)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(hosts: &[&str], uris: &[&str]) -> Ranked {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let (hosts, uris) = (texts(hosts), texts(uris));
        Ranked { name: "n".into(), origin: String::new(), rank: (0, 0), hosts, uris }
    }

    #[test]
    fn more_specific_routes_overtake() {
        for (first, other, overtaken) in [
            (ranked(&[], &["/*"]), ranked(&[], &["/a*"]), true),
            (ranked(&[], &["/a*"]), ranked(&[], &["/*"]), false),
            (ranked(&[], &["/a*"]), ranked(&[], &["/b*"]), false),
            (ranked(&[], &["/a*"]), ranked(&[], &["/a/b"]), true),
            (ranked(&[], &["/a*"]), ranked(&["x.test"], &["/*"]), true),
            (ranked(&["x.test"], &["/a*"]), ranked(&["y.test"], &["/a/b"]), false),
            (ranked(&["*.test"], &["/a/b"]), ranked(&["y.test"], &["/a*"]), true),
            (ranked(&["y.test"], &["/*"]), ranked(&["*.test"], &["/a"]), false),
            (ranked(&["y.test"], &["/a*"]), ranked(&["y.test"], &["/a*"]), false),
        ] {
            assert_eq!(
                is_overtaken(&first, &other),
                overtaken,
                "{:?} {:?}",
                first.uris,
                other.uris
            );
        }
    }
}
