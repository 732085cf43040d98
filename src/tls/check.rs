//! Whether a request may come over the connection that it came over.

use ringgate_core::{ClientCertificate, Code, ConnectionInfo, Fault, RequestHead, TlsInfo};

use super::TlsTable;
use super::table::lower;

/// Refuses a request that its connection's handshake does not cover:
///
/// - [`Code::Misdirected`] (421, RFC 9110 §15.5.20): its host is served under another policy for
///   clients' certificates than the name that the handshake was held for;
/// - [`Code::ClientCertificate`] (400, as APISIX): the policy wants a certificate, there is none
///   that is trusted, and no `skip_mtls_uri_regex` fits the path.
///
/// A connection that stays open over a change of the configuration keeps what it was made under,
/// as long as that asked for a certificate where one is asked for now.
#[inline]
pub fn check_request(
    table: &TlsTable,
    connection: &ConnectionInfo,
    head: &RequestHead,
) -> Result<(), Fault> {
    match &connection.tls {
        None => Ok(()),
        Some(tls) if tls.policy == 0 && !table.asks_clients() => Ok(()),
        Some(tls) => check(table, tls, head),
    }
}

#[inline(never)]
fn check(table: &TlsTable, tls: &TlsInfo, head: &RequestHead) -> Result<(), Fault> {
    // Who was asked for a certificate for this very name has shown it, though another authority
    // may count by now. Who was not, because the name needed none then, has to come again.
    let asked_for = |name: &str| name.as_bytes().eq_ignore_ascii_case(head.host());
    if tls.policy == 0 || !tls.server_name.as_deref().is_some_and(asked_for) {
        same_policy(table, tls, head)?;
    }
    let why = match &tls.client {
        ClientCertificate::Verified(_) => return Ok(()),
        ClientCertificate::NotAsked if tls.policy == 0 => return Ok(()),
        ClientCertificate::Refused(reason) => reason,
        ClientCertificate::NotAsked | ClientCertificate::Missing => "client sent no certificate",
    };
    match table.client(tls.policy) {
        Some(client) if client.skips(head.path()) => Ok(()),
        Some(_) => Err(Fault::new(Code::ClientCertificate, why.to_owned()).on_stream()),
        // A new connection is made under the one that is.
        None => {
            let detail = "the connection's policy for clients is not in force any more";
            Err(Fault::new(Code::Misdirected, detail).on_stream())
        }
    }
}

/// Whether the host has the policy of the handshake.
fn same_policy(table: &TlsTable, tls: &TlsInfo, head: &RequestHead) -> Result<(), Fault> {
    // A host that is no text is no ssl object's name.
    let host = lower(std::str::from_utf8(head.host()).unwrap_or_default());
    let asked = tls.server_name.as_deref();
    let same_name = tls.policy != 0 && asked == Some(&*host);
    if same_name || table.same_policy(&host, tls.ssl_ids.as_deref(), tls.policy) {
        return Ok(());
    }
    let asked = asked.unwrap_or("none");
    let detail = format!("host {host:?} has another policy for clients than SNI {asked:?}");
    Err(Fault::new(Code::Misdirected, detail).on_stream())
}
