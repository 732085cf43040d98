use crate::route::UriPattern;
use crate::route::pattern::HostPattern;

fn params(pattern: &str, path: &str) -> Option<Vec<(String, String)>> {
    let pattern = UriPattern::compile(pattern).unwrap();
    let mut params = Vec::new();
    pattern.matches(path.as_bytes()).then(|| {
        pattern.params(path.as_bytes(), |name, value| {
            params.push((name.to_owned(), String::from_utf8(value.to_vec()).unwrap()));
        });
        params
    })
}

#[test]
fn uris_match_as_in_radixtree() {
    for (pattern, path, expected) in [
        ("/a", "/a", Some(&[][..])),
        ("/a", "/a/", None),
        ("*", "/anything", Some(&[(":ext", "/anything")])),
        ("*", "*", Some(&[(":ext", "*")])),
        ("/*", "/", Some(&[(":ext", "")])),
        ("/*", "*", None),
        ("/a/*", "/a/", Some(&[(":ext", "")])),
        ("/a/*", "/a/b/c", Some(&[(":ext", "b/c")])),
        ("/a/*", "/a", None),
        ("/a*", "/abc", Some(&[])),
        ("/a*b", "/axyz", Some(&[])),
        ("/a/*rest", "/a/b/c", Some(&[("rest", "b/c")])),
        ("/u/:id", "/u/7", Some(&[("id", "7")])),
        ("/u/:id", "/u/", None),
        ("/u/:id", "/u/7/", None),
        ("/u/:id/", "/u/7/", Some(&[("id", "7")])),
        ("/u/:id/p/:p", "/u/7/p/8", Some(&[("id", "7"), ("p", "8")])),
        ("/u/:id/p/:p", "/u/7/q/8", None),
        ("/u/:id/*rest", "/u/7/", Some(&[("id", "7"), ("rest", "")])),
        ("/u/:id/*rest", "/u/7/x/y", Some(&[("id", "7"), ("rest", "x/y")])),
        ("/u/:id/*rest", "/u/7", None),
        ("/:a/:b", "/x/y", Some(&[("a", "x"), ("b", "y")])),
        ("/a/*/z", "/a/b/c/z", Some(&[(":ext", "b/c")])),
        ("/a/*/z", "/a/z", None),
        ("/a/*/z", "/a//z", Some(&[(":ext", "")])),
        ("/a/*/z", "/a/b/zz", None),
        ("/a/*x/:y/z", "/a/1/2/3/z", Some(&[("x", "1/2"), ("y", "3")])),
        ("/*a/m/*b/z", "/1/m/2/m/3/z", Some(&[("a", "1"), ("b", "2/m/3")])),
        ("/*a/m/*b", "/1/2/m/", Some(&[("a", "1/2"), ("b", "")])),
        ("/a/*/b*", "/a/x/bcd", Some(&[(":ext", "x")])),
        ("/v1/jobs:cancel", "/v1/jobs:cancel", Some(&[])),
        ("/v1/jobs:cancel", "/v1/jobs", None),
        ("/a b/:x", "/a%20b/1", Some(&[("x", "1")])),
        ("/a/./b//c", "/a/b/c", Some(&[])),
        ("/%7euser", "/~user", Some(&[])),
    ] {
        let expected: Option<Vec<_>> = expected
            .map(|params| params.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect());
        assert_eq!(params(pattern, path), expected, "{pattern} {path}");
    }
}

#[test]
fn uris_that_are_no_paths_are_refused() {
    for uri in ["", "a", "/%", "/%00", "/../a", "/a\nb", &format!("/{}", "a".repeat(5000))] {
        assert!(UriPattern::compile(uri).is_err(), "{uri}");
    }
    assert!(UriPattern::compile(&"/:a".repeat(200)).is_err());
}

#[test]
fn hosts_are_brought_to_one_form() {
    for (host, text, key) in [
        ("A.Example", "a.example", "elpmaxe.a"),
        ("a.example:8080", "a.example", "elpmaxe.a"),
        ("a.example.", "a.example", "elpmaxe.a"),
        ("*.Example", "*.example", "elpmaxe."),
        ("*", "*", ""),
        ("[::1]:80", "[::1]", "]1::["),
    ] {
        let pattern = HostPattern::compile(host).unwrap();
        assert_eq!((&*pattern.text, &*pattern.key), (text, key.as_bytes()), "{host}");
    }
    for host in ["", ":80", "a.*.b", "a b", "a/b", "\u{e9}.example", &"a".repeat(300)] {
        assert!(HostPattern::compile(host).is_err(), "{host}");
    }
}

#[test]
fn stars_in_stars_take_no_time() {
    let pattern = UriPattern::compile(&format!("{}/end", "/*/a/b".repeat(30))).unwrap();
    let path = "/a/b".repeat(4000);
    let start = std::time::Instant::now();
    assert!(!pattern.matches(path.as_bytes()));
    assert!(start.elapsed().as_millis() < 200);
}
