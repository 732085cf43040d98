//! No text makes the reader panic.

use proptest::prelude::*;

use super::fuzz_resources;

/// Pieces that YAML, JSON and resource files are made of.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "routes:",
        "\n",
        "\n  ",
        "\n- ",
        "\n  - ",
        "- ",
        "uri: ",
        "/a",
        "id: 1",
        "upstream: ",
        "nodes: ",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        ": ",
        "\"",
        "'",
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "!x ",
        "|\n",
        ">-\n",
        "? ",
        "#END",
        "# ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "\t",
        "~",
        "1",
        "-1",
        "1.5",
        "null",
        "true",
        "\\",
        "\\u0041",
        "é",
        "\u{feff}",
        "\r",
        "${{A}}",
        "${{B:=c}}",
        "${{B}}",
        "weight: ",
        "host: ",
        "127.0.0.1:80",
        "ssls:",
        "consumers:",
        "username: ",
        "plugins: ",
        "services:",
        "secrets:",
        "vars: ",
        "@",
        "`",
        "|2-",
        "\0",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn made_of_pieces(text in pieces()) {
        fuzz_resources(text.as_bytes());
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_resources(&bytes);
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        fuzz_resources(text.as_bytes());
    }
}
