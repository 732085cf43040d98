//! Secrets at rest, as APISIX keeps them, so that both can read one store: AES in CBC mode with
//! PKCS #7 padding, the key itself (its first 16 bytes) as the initialisation vector, in base64; of
//! 16 bytes a key is one of AES-128, of 32 one of AES-256. Of plugins the fields that their schemas
//! name (`encrypt_fields`), of ssl objects and of upstreams' `tls` the private keys.
//!
//! The same text encrypts to the same bytes, and nothing shows that they were altered. That is the
//! price of the format; whoever can read the store should not be trusted with much all the same.

use aws_lc_rs::cipher::{
    AES_128, AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
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
/// Bytes of the initialisation vector, which a key begins with.
const VECTOR: usize = 16;
/// What a private key in PEM begins with.
const PEM: &str = "---";

/// The fields of a plugin that are encrypted; dots go one step down.
pub type EncryptedFields = Box<dyn Fn(&str) -> &'static [&'static str] + Send + Sync>;

/// A key, of 16 or 32 bytes.
struct Key(Vec<u8>);

impl Key {
    /// How many bytes a key may have.
    const SIZES: [usize; 2] = [16, 32];

    fn of(text: &str) -> Option<Key> {
        Key::SIZES.contains(&text.len()).then(|| Key(text.into()))
    }

    fn cipher(&self) -> Result<UnboundCipherKey, Unspecified> {
        let algorithm = if self.0.len() == 32 { &AES_256 } else { &AES_128 };
        UnboundCipherKey::new(algorithm, &self.0)
    }

    /// APISIX's format asks for this vector.
    fn vector(&self) -> Result<FixedLength<VECTOR>, Unspecified> {
        let vector: &[u8; VECTOR] = self.0.first_chunk().ok_or(Unspecified)?;
        Ok(FixedLength::from(vector))
    }
}

/// Encrypts and decrypts secret fields.
pub struct Encryption {
    /// The first one encrypts, all decrypt.
    keys: Vec<Key>,
    /// Whether fields of plugins are encrypted; private keys always are.
    fields: Option<EncryptedFields>,
}

impl Encryption {
    /// With a keyring; an empty one means [`DEFAULT_KEYRING`], as in APISIX. `fields` are those of
    /// plugins; [`None`] where they stay as they are. Keys of other sizes are left out.
    pub fn new(keyring: &[impl AsRef<str>], fields: Option<EncryptedFields>) -> Encryption {
        let mut keys: Vec<Key> = keyring.iter().filter_map(|key| Key::of(key.as_ref())).collect();
        if keys.is_empty() {
            keys = DEFAULT_KEYRING.into_iter().filter_map(Key::of).collect();
        }
        Encryption { keys, fields }
    }

    /// As the bootstrap file says it.
    pub fn configured(settings: &DataEncryption, fields: EncryptedFields) -> Encryption {
        Encryption::new(&settings.keyring, settings.enable_encrypt_fields.then_some(fields))
    }

    /// Whether the key that encrypts is one that everybody knows.
    pub fn is_well_known(&self) -> bool {
        self.keys.first().is_some_and(|key| DEFAULT_KEYRING.iter().any(|k| k.as_bytes() == key.0))
    }

    /// Encrypts the secrets of a resource.
    pub fn encrypt(&self, kind: Kind, value: &mut Value) {
        let encrypt = |text: &str| encrypted(self.keys.first()?, text);
        // Not a key but a reference to one, such as `$secret://…`, stays readable.
        private_keys(kind, value, &|text| text.starts_with(PEM).then(|| encrypt(text))?);
        self.fields(kind, value, &|text| (!text.starts_with('$')).then(|| encrypt(text))?);
    }

    /// Decrypts the secrets of a resource. What no key decrypts stays as it is: it was stored
    /// before fields were encrypted.
    pub fn decrypt(&self, kind: Kind, value: &mut Value) {
        self.decrypt_keys(kind, value);
        self.decrypt_fields(kind, value);
    }

    /// Decrypts the private keys of a resource, which clients send as they were answered.
    pub fn decrypt_keys(&self, kind: Kind, value: &mut Value) {
        private_keys(kind, value, &|text| {
            let mut all = self.keys.iter().filter_map(|key| decrypted(key, text));
            all.find(|text| text.starts_with(PEM))
        });
    }

    /// Decrypts what of a resource is shown to those who ask: all but private keys.
    pub fn decrypt_fields(&self, kind: Kind, value: &mut Value) {
        self.fields(kind, value, &|text| self.keys.iter().find_map(|key| decrypted(key, text)));
    }

    /// The secret fields of plugins.
    fn fields(&self, kind: Kind, value: &mut Value, change: &Change<'_>) {
        let Some(fields) = self.fields.as_ref().filter(|_| kind != Kind::Ssl) else { return };
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

/// What a secret becomes; [`None`]: it stays.
type Change<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The private keys of a resource.
fn private_keys(kind: Kind, value: &mut Value, change: &Change<'_>) {
    let paths: &[&str] = match kind {
        Kind::Ssl => &["key", "keys"],
        Kind::Upstream => &["tls.client_key"],
        Kind::Route | Kind::Service | Kind::StreamRoute => &["upstream.tls.client_key"],
        _ => &[],
    };
    for path in paths {
        below(value, path, change);
    }
}

/// What is at a path.
fn below(value: &mut Value, path: &str, change: &Change<'_>) {
    let at = path.split('.').try_fold(value, |value, field| value.get_mut(field));
    at.into_iter().for_each(|secret| texts(secret, change));
}

/// A text, or each of a list or mapping.
fn texts(value: &mut Value, change: &Change<'_>) {
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

fn encrypted(key: &Key, text: &str) -> Option<String> {
    let encrypt = || -> Result<Vec<u8>, Unspecified> {
        let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(key.cipher()?)?;
        let mut bytes = text.as_bytes().to_vec();
        cipher.less_safe_encrypt(&mut bytes, EncryptionContext::Iv128(key.vector()?))?;
        Ok(bytes)
    };
    encrypt().ok().map(|bytes| BASE64_STANDARD.encode(bytes))
}

fn decrypted(key: &Key, text: &str) -> Option<String> {
    let mut bytes = BASE64_STANDARD.decode(text).ok()?;
    let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(key.cipher().ok()?).ok()?;
    let context = DecryptionContext::Iv128(key.vector().ok()?);
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

    /// By `printf %s auth-one | openssl enc -aes-256-cbc -base64 -K KEY -iv VECTOR`.
    #[test]
    fn long_keys_are_of_aes_256() {
        let long = with(&["0123456789abcdef0123456789abcdef", "0123456789abcdef"]);
        let mut consumer = json!({"plugins": {"key-auth": {"key": "auth-one"}}});
        let plain = consumer.clone();
        long.encrypt(Kind::Consumer, &mut consumer);
        assert_eq!(consumer["plugins"]["key-auth"]["key"], json!("jMinfe2nNUgjwW02ZBFULg=="));
        long.decrypt(Kind::Consumer, &mut consumer);
        assert_eq!(consumer, plain);
        with(&["0123456789abcdef"]).encrypt(Kind::Consumer, &mut consumer);
        long.decrypt(Kind::Consumer, &mut consumer);
        assert_eq!(consumer, plain, "a shorter one that was there before");
    }

    #[test]
    fn keys_of_upstreams_are_shown_as_they_are_stored() {
        let ours = with(&["0123456789abcdef"]);
        let tls = json!({"client_cert": "---cert", "client_key": "---key"});
        for (kind, plain, at) in [
            (Kind::Upstream, json!({"tls": tls}), "/tls/client_key"),
            (Kind::Route, json!({"upstream": {"tls": tls}}), "/upstream/tls/client_key"),
            (Kind::Service, json!({"upstream": {"tls": tls}}), "/upstream/tls/client_key"),
        ] {
            let mut stored = plain.clone();
            ours.encrypt(kind, &mut stored);
            let key = stored.pointer(at).and_then(Value::as_str).unwrap().to_owned();
            assert!(!key.contains("key"), "{stored}");
            let mut shown = stored.clone();
            ours.decrypt_fields(kind, &mut shown);
            assert_eq!(shown, stored);
            ours.encrypt(kind, &mut shown);
            assert_eq!(shown, stored, "what was shown can be put");
            ours.decrypt(kind, &mut shown);
            assert_eq!(shown, plain);
        }
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
