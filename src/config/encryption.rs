//! Secrets at rest, as APISIX keeps them, so that both can read one store: AES-128 in CBC mode with
//! PKCS #7 padding, the key itself as the initialisation vector, in base64. Of plugins the fields
//! that their schemas name (`encrypt_fields`), of ssl objects the private keys.
//!
//! The same text encrypts to the same bytes, and nothing shows that they were altered. That is the
//! price of the format; whoever can read the store should not be trusted with much all the same.

use aws_lc_rs::cipher::{
    AES_128, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::bootstrap::DataEncryption;
use super::schema::Kind;

/// The keys that APISIX ships: the second is the one of its older versions.
pub const DEFAULT_KEYRING: [&str; 2] = ["qeddd145sfvddff3", "edd1c9f0985e76a2"];
/// Bytes of a key.
const KEY: usize = 16;
/// What a private key in PEM begins with.
const PEM: &str = "---";

/// The fields of a plugin that are encrypted; dots go one step down.
pub type EncryptedFields = Box<dyn Fn(&str) -> &'static [&'static str] + Send + Sync>;

/// Encrypts and decrypts secret fields.
pub struct Encryption {
    /// The first one encrypts, all decrypt.
    keys: Vec<[u8; KEY]>,
    /// Whether fields of plugins are encrypted; private keys always are.
    fields: Option<EncryptedFields>,
}

impl Encryption {
    /// With a keyring; an empty one means [`DEFAULT_KEYRING`], as in APISIX. `fields` are those of
    /// plugins; [`None`] where they stay as they are. Keys that are not of 16 bytes are left out.
    pub fn new(keyring: &[impl AsRef<str>], fields: Option<EncryptedFields>) -> Encryption {
        let given = keyring.iter().map(AsRef::as_ref);
        let mut keys: Vec<[u8; KEY]> =
            given.filter_map(|key| key.as_bytes().try_into().ok()).collect();
        if keys.is_empty() {
            keys = DEFAULT_KEYRING.iter().filter_map(|k| k.as_bytes().try_into().ok()).collect();
        }
        Encryption { keys, fields }
    }

    /// As the bootstrap file says it.
    pub fn configured(settings: &DataEncryption, fields: EncryptedFields) -> Encryption {
        Encryption::new(&settings.keyring, settings.enable_encrypt_fields.then_some(fields))
    }

    /// Whether the key that encrypts is one that everybody knows.
    pub fn is_well_known(&self) -> bool {
        self.keys.first().is_some_and(|key| DEFAULT_KEYRING.iter().any(|k| k.as_bytes() == key))
    }

    /// Encrypts the secrets of a resource.
    pub fn encrypt(&self, kind: Kind, value: &mut Value) {
        self.visit(kind, value, &|text| {
            // Not a key but a reference to one, such as `$secret://…`, stays readable.
            let is_reference = text.starts_with('$') || kind == Kind::Ssl && !text.starts_with(PEM);
            (!is_reference).then(|| encrypted(self.keys.first()?, text)).flatten()
        });
    }

    /// Decrypts the secrets of a resource. What no key decrypts stays as it is: it was stored
    /// before fields were encrypted.
    pub fn decrypt(&self, kind: Kind, value: &mut Value) {
        self.visit(kind, value, &|text| {
            self.keys
                .iter()
                .filter_map(|key| decrypted(key, text))
                .find(|text| kind != Kind::Ssl || text.starts_with(PEM))
        });
    }

    fn visit(&self, kind: Kind, value: &mut Value, change: &dyn Fn(&str) -> Option<String>) {
        if kind == Kind::Ssl {
            for field in ["key", "keys"] {
                value.get_mut(field).into_iter().for_each(|secret| texts(secret, change));
            }
            return;
        }
        let Some(fields) = &self.fields else { return };
        if kind == Kind::PluginMetadata {
            let name = value.get("id").and_then(Value::as_str).unwrap_or_default();
            for path in fields(name) {
                below(value, path, change);
            }
        }
        let Some(plugins) = value.get_mut("plugins").and_then(Value::as_object_mut) else { return };
        for (name, conf) in plugins {
            for path in fields(name) {
                below(conf, path, change);
            }
        }
    }
}

/// What is at a path.
fn below(value: &mut Value, path: &str, change: &dyn Fn(&str) -> Option<String>) {
    let at = path.split('.').try_fold(value, |value, field| value.get_mut(field));
    at.into_iter().for_each(|secret| texts(secret, change));
}

/// A text, or each of a list or mapping.
fn texts(value: &mut Value, change: &dyn Fn(&str) -> Option<String>) {
    match value {
        Value::String(text) => {
            if let Some(changed) = change(text) {
                *text = changed;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|item| texts(item, change)),
        Value::Object(map) => map.values_mut().for_each(|item| texts(item, change)),
        _ => {}
    }
}

fn encrypted(key: &[u8; KEY], text: &str) -> Option<String> {
    let encrypt = || -> Result<Vec<u8>, Unspecified> {
        let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_128, key)?)?;
        let mut bytes = text.as_bytes().to_vec();
        // APISIX's format asks for this vector.
        cipher.less_safe_encrypt(&mut bytes, EncryptionContext::Iv128(FixedLength::from(key)))?;
        Ok(bytes)
    };
    encrypt().ok().map(|bytes| BASE64_STANDARD.encode(bytes))
}

fn decrypted(key: &[u8; KEY], text: &str) -> Option<String> {
    let mut bytes = BASE64_STANDARD.decode(text).ok()?;
    let cipher = UnboundCipherKey::new(&AES_128, key).ok()?;
    let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(cipher).ok()?;
    let context = DecryptionContext::Iv128(FixedLength::from(key));
    let plain = cipher.decrypt(&mut bytes, context).ok()?;
    String::from_utf8(plain.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(plugin: &str) -> &'static [&'static str] {
        match plugin {
            "key-auth" => &["key"],
            "log" => &["auth.token", "headers"],
            _ => &[],
        }
    }

    fn with(keyring: &[&str]) -> Encryption {
        Encryption::new(keyring, Some(Box::new(fields)))
    }

    /// By `printf %s auth-one | openssl enc -aes-128-cbc -base64 -K KEY -iv KEY`, the key in hex.
    #[test]
    fn as_openssl_does_it() {
        let mut consumer = json!({"plugins": {"key-auth": {"key": "auth-one"}}});
        let plain = consumer.clone();
        let default = with(&[]);
        default.encrypt(Kind::Consumer, &mut consumer);
        assert_eq!(consumer["plugins"]["key-auth"]["key"], json!(OPENSSL));
        default.decrypt(Kind::Consumer, &mut consumer);
        assert_eq!(consumer, plain);
        assert!(default.is_well_known() && !with(&["0123456789abcdef"]).is_well_known());
    }

    const OPENSSL: &str = "4y+JvURBE6ZwRbbgaryrhg==";

    #[test]
    fn a_new_key_in_front_reads_what_the_old_one_wrote() {
        let mut value = json!({"plugins": {"log": {
            "auth": {"token": "t", "user": "u"}, "headers": {"a": "1", "b": ["2"]},
        }, "other": {"key": "k"}}});
        let plain = value.clone();
        with(&["0123456789abcdef"]).encrypt(Kind::Route, &mut value);
        assert_eq!(value["plugins"]["other"], plain["plugins"]["other"]);
        assert_eq!(value["plugins"]["log"]["auth"]["user"], json!("u"));
        assert_ne!(value["plugins"]["log"]["headers"]["b"], json!(["2"]));
        let rotated = with(&["fedcba9876543210", "0123456789abcdef"]);
        let mut read = value.clone();
        rotated.decrypt(Kind::Route, &mut read);
        assert_eq!(read, plain);
        let mut unread = value.clone();
        with(&["fedcba9876543210"]).decrypt(Kind::Route, &mut unread);
        assert_eq!(unread, value, "what no key decrypts stays");
        rotated.encrypt(Kind::Route, &mut read);
        assert_ne!(read, value, "the first key encrypts");
    }

    #[test]
    fn private_keys_always_references_never() {
        let never = Encryption::new(&["0123456789abcdef"], None);
        let plain = json!({
            "cert": "---cert", "key": "---key", "keys": ["---two", "$secret://vault/1/a"],
            "plugins": {"key-auth": {"key": "k"}},
        });
        let mut ssl = plain.clone();
        never.encrypt(Kind::Ssl, &mut ssl);
        assert!(!ssl["key"].as_str().unwrap().starts_with("---"));
        assert_eq!(ssl["keys"][1], plain["keys"][1]);
        assert_eq!(ssl["cert"], plain["cert"]);
        never.decrypt(Kind::Ssl, &mut ssl);
        assert_eq!(ssl, plain);
        let mut route = plain.clone();
        never.encrypt(Kind::Route, &mut route);
        assert_eq!(route, plain);
        let mut reference = json!({"plugins": {"key-auth": {"key": "$env://KEY"}}});
        with(&[]).encrypt(Kind::Consumer, &mut reference);
        assert_eq!(reference["plugins"]["key-auth"]["key"], json!("$env://KEY"));
    }
}
