//! Protobuf definitions, compiled: text, or a set of descriptors in Base64.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::DescriptorPool;
use prost_reflect::prost::Message;
use prost_reflect::prost_types::FileDescriptorSet;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use protox::{Compiler, Error};

use crate::config::Resources;
use crate::config::resources::Proto;
use crate::config::schema::Kind;
use crate::plugin::ConfigError;

use super::compile::CompileError;
use crate::config::Changed;

/// How deep blocks of a definition may be nested; as many levels a message may have that is read.
const DEPTH_MAX: usize = 64;

/// Compiled definitions by id. Those that did not change are shared from plan to plan.
pub type Protos = HashMap<Arc<str>, DescriptorPool>;

/// What a change of definitions makes of those in force.
pub(super) fn after(
    before: &Protos,
    changed: &Changed,
    resources: &Resources,
) -> Result<Protos, Vec<CompileError>> {
    let (mut protos, mut errors) = (before.clone(), Vec::new());
    for id in &changed.removed {
        protos.remove(id);
    }
    for id in changed.added.iter().chain(&changed.changed) {
        let Some(raw) = resources.protos.get(id) else { continue };
        match compile(id, raw) {
            Ok(pool) => _ = protos.insert(id.clone(), pool),
            Err(error) => errors.push(CompileError::at(Kind::Proto, id, error)),
        }
    }
    if errors.is_empty() { Ok(protos) } else { Err(errors) }
}

/// Any text as a definition.
pub(in crate::config) fn fuzz_proto(text: &str) {
    let raw = Proto {
        id: None,
        name: None,
        desc: None,
        labels: None,
        content: text.to_owned(),
        create_time: None,
        update_time: None,
    };
    if let Err(error) = compile("fuzz", &raw) {
        assert_eq!(error.path, "content");
    }
}

/// Compiles a definition. Reasons begin with line and column in its text.
pub(crate) fn compile(id: &str, raw: &Proto) -> Result<DescriptorPool, ConfigError> {
    let refuse = |reason: String| ConfigError::at("content", reason);
    let content = &raw.content;
    // Every text in protobuf's language has a byte that Base64 has not.
    let is_set = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=\r\n \t".contains(&byte);
    if content.bytes().all(is_set) {
        return descriptors(content).map_err(refuse);
    }
    if let Some((line, column)) = too_deep(content) {
        let reason = format!("{line}:{column}: nested deeper than {DEPTH_MAX} levels");
        return Err(refuse(reason));
    }
    let name = format!("{id}.proto");
    text(&name, content).map_err(|error| {
        let reason = format!("{error:?}");
        let told = reason.strip_prefix(&*name).and_then(|rest| rest.strip_prefix(':'));
        refuse(told.unwrap_or(&reason).trim().to_owned())
    })
}

fn text(name: &str, content: &str) -> Result<DescriptorPool, Error> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Given(File::from_source(name, content)?));
    resolver.add(WellKnown);
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file(name)?;
    Ok(compiler.descriptor_pool())
}

/// Reads a set of descriptors (`protoc --include_imports --descriptor_set_out`). What it does not
/// bring of the well-known files is added.
fn descriptors(content: &str) -> Result<DescriptorPool, String> {
    let mut content = content.to_owned();
    content.retain(|c| !c.is_ascii_whitespace());
    let bytes = STANDARD.decode(&content).map_err(|_| {
        "neither a definition in protobuf's language nor Base64 of descriptors".to_owned()
    })?;
    let set = FileDescriptorSet::decode(&*bytes)
        .map_err(|error| format!("no FileDescriptorSet in Base64: {error}"))?;
    let mut pool = DescriptorPool::new();
    let brought = |name: &str| set.file.iter().any(|file| file.name() == name);
    let imports = set.file.iter().flat_map(|file| &file.dependency);
    for import in imports.filter(|import| !brought(import)) {
        if WellKnown.open_file(import).is_err() {
            return Err(format!(
                "it imports {import}, which is not in it: make it with `protoc --include_imports`"
            ));
        }
        let mut compiler = Compiler::with_file_resolver(WellKnown);
        let compiled = compiler.include_imports(true).open_file(import);
        let set = compiled.map_err(|error| format!("{error:?}"))?.file_descriptor_set();
        let missing = set.file.into_iter().filter(|file| !brought(file.name()));
        let missing: Vec<_> = missing.collect();
        for file in missing {
            if pool.get_file_by_name(file.name()).is_none() {
                pool.add_file_descriptor_proto(file).map_err(|error| format!("{error:?}"))?;
            }
        }
    }
    // From the bytes, because options that the types do not know would be lost.
    pool.decode_file_descriptor_set(&*bytes).map_err(|error| format!("{error:?}"))?;
    Ok(pool)
}

/// The definition itself, where the compiler asks for its file.
struct Given(File);

impl FileResolver for Given {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        match name == self.0.name() {
            true => match self.0.source() {
                Some(source) => File::from_source(name, source),
                None => Err(Error::file_not_found(name)),
            },
            false => Err(Error::file_not_found(name)),
        }
    }
}

/// What every definition may import: protobuf's own files, and those of `google.api.http`.
struct WellKnown;

impl FileResolver for WellKnown {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        match name {
            "google/api/http.proto" => File::from_source(name, HTTP),
            "google/api/annotations.proto" => File::from_source(name, ANNOTATIONS),
            _ => GoogleFileResolver::new().open_file(name),
        }
    }
}

/// `google.api.HttpRule`, as Google's API documentation describes it: names, types and numbers.
const HTTP: &str = r#"
syntax = "proto3";
package google.api;
message Http {
  repeated HttpRule rules = 1;
  bool fully_decode_reserved_expansion = 2;
}
message HttpRule {
  string selector = 1;
  oneof pattern {
    string get = 2;
    string put = 3;
    string post = 4;
    string delete = 5;
    string patch = 6;
    CustomHttpPattern custom = 8;
  }
  string body = 7;
  string response_body = 12;
  repeated HttpRule additional_bindings = 11;
}
message CustomHttpPattern {
  string kind = 1;
  string path = 2;
}
"#;

/// The option `google.api.http` of methods.
const ANNOTATIONS: &str = r#"
syntax = "proto3";
package google.api;
import "google/api/http.proto";
import "google/protobuf/descriptor.proto";
extend google.protobuf.MethodOptions {
  HttpRule http = 72295728;
}
"#;

/// Where a text is nested deeper than it may be: line and column. The compiler goes as deep as its
/// text does, so this is looked at before.
fn too_deep(content: &str) -> Option<(usize, usize)> {
    let bytes = content.as_bytes();
    let (mut at, mut depth) = (0, 0usize);
    while let Some(byte) = bytes.get(at) {
        let rest = &bytes[at..];
        at += match byte {
            b'"' | b'\'' => {
                let mut escaped = false;
                let end = rest[1..].iter().position(|other| {
                    let ends = (other == byte || *other == b'\n') && !escaped;
                    escaped = *other == b'\\' && !escaped;
                    ends
                });
                end.map_or(rest.len(), |end| end + 2)
            }
            b'/' if rest.starts_with(b"//") => memchr::memchr(b'\n', rest).unwrap_or(rest.len()),
            b'/' if rest.starts_with(b"/*") => {
                memchr::memmem::find(&rest[2..], b"*/").map_or(rest.len(), |end| end + 4)
            }
            b'{' | b'[' | b'(' | b'<' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    let before = &bytes[..at];
                    let line = before.iter().filter(|byte| **byte == b'\n').count();
                    let start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
                    return Some((line + 1, at - start + 1));
                }
                1
            }
            b'}' | b']' | b')' | b'>' => {
                depth = depth.saturating_sub(1);
                1
            }
            _ => 1,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proto(content: &str) -> Proto {
        serde_json::from_value(serde_json::json!({ "content": content })).unwrap()
    }

    const HELLO: &str = "syntax = \"proto3\";\npackage a;\n\
        import \"google/protobuf/timestamp.proto\";\nimport \"google/api/annotations.proto\";\n\
        message M { google.protobuf.Timestamp at = 1; }\n\
        service S { rpc Get (M) returns (M) { option (google.api.http) = { get: \"/v1/m\" }; } }\n";

    #[test]
    fn text_and_descriptors_compile_to_the_same() {
        let pool = compile("1", &proto(HELLO)).unwrap();
        let rule = |pool: &DescriptorPool| {
            let service = pool.get_service_by_name("a.S").expect("the service");
            let method = service.methods().next().expect("a method");
            let options = method.options();
            let (_, rule) = options.extensions().next().expect("the rule").clone();
            let rule = rule.as_message().expect("a message").clone();
            rule.get_field_by_name("get").unwrap().as_str().unwrap().to_owned()
        };
        assert_eq!(rule(&pool), "/v1/m");
        let whole = STANDARD.encode(pool.encode_to_vec());
        assert_eq!(rule(&compile("1", &proto(&whole)).unwrap()), "/v1/m");
        // Without what every definition may import.
        let mut alone = FileDescriptorSet::decode(&*pool.encode_to_vec()).unwrap();
        alone.file.retain(|file| file.name() == "1.proto");
        let alone = STANDARD.encode(alone.encode_to_vec());
        let pool = compile("1", &proto(&alone)).unwrap();
        assert!(pool.get_message_by_name("google.protobuf.Timestamp").is_some());
    }

    #[test]
    fn reasons_say_where() {
        for (content, reason) in [
            ("syntax = \"proto3\";\nmessage M {\n  strin g = 1\n}", "4:1: expected"),
            ("syntax = \"proto3\";\nimport \"b.proto\";", "2:1: import 'b.proto' not found"),
            ("message M { optional N n = 1; }", "1:22: "),
            ("bm90aGluZw", "neither a definition"),
            ("////", "no FileDescriptorSet in Base64"),
        ] {
            let error = compile("1", &proto(content)).unwrap_err();
            assert_eq!(error.path, "content");
            assert!(error.reason.starts_with(reason), "{content}: {}", error.reason);
        }
        let deep = "message M {\n".repeat(100_000);
        let error = compile("1", &proto(&deep)).unwrap_err();
        assert_eq!(error.reason, "65:11: nested deeper than 64 levels");
        let quoted = "// {{{\n/* {{ */ syntax = \"proto3\"; option java_package = \"\\\"{{\";";
        assert!(too_deep(&quoted.repeat(100)).is_none());
    }
}
