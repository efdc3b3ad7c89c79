//! The session's certificate authority, and certificates for the hosts that the program talks to. The keys are in memory
//! alone and end with the session. What a certificate needs so that every TLS library takes it is RFC 5280, sections
//! 4.1.2 and 4.2.1, as strictly as `openssl verify -x509_strict` reads it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::{BASE64, HEXLOWER};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SerialNumber,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{CipherSuite, ServerConfig};
use time::{Duration, OffsetDateTime};

use crate::random;

/// By how much a clock may be behind.
const BEFORE: Duration = Duration::hours(1);

/// After so many hosts those that were met first are forgotten.
const MOST_HOSTS: usize = 512;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("a certificate cannot be made: {0}")]
    Made(#[from] rcgen::Error),
    #[error("a certificate cannot be used: {0}")]
    Used(#[from] rustls::Error),
}

/// The keys of a session: its authority's, and one that serves all hosts, since who has it has them all anyway.
#[derive(Debug)]
pub(crate) struct Keys {
    authority: KeyPair,
    hosts: KeyPair,
}

impl Keys {
    /// Makes new ones.
    pub(crate) fn new() -> Result<Self, Error> {
        let key = || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256);
        Ok(Self { authority: key()?, hosts: key()? })
    }
}

/// The authority of a session.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    key: KeyPair,
    until: OffsetDateTime,
    by_host: Mutex<HashMap<String, Arc<ServerConfig>>>,
}

impl Authority {
    /// Makes one that holds for so many seconds.
    pub(crate) fn new(keys: Keys, seconds: i64) -> Result<Self, Error> {
        let until = OffsetDateTime::now_utc() + Duration::seconds(seconds) + BEFORE;
        let Keys { authority: key, hosts } = keys;
        // A name of its own for each: OpenSSL tries one authority of a name alone.
        let name = format!("secretsd session {}", HEXLOWER.encode(&random::bytes::<8>()));
        let mut params = valid(CertificateParams::default(), until);
        params.distinguished_name = named(&name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let der = params.self_signed(&key)?.into();
        let issuer = Issuer::new(params, key);
        Ok(Self { issuer, der, key: hosts, until, by_host: Mutex::default() })
    }

    /// The authority's certificate, in PEM (RFC 7468).
    pub(crate) fn pem(&self) -> String {
        pem(&self.der)
    }

    /// How TLS is spoken to the program that believes to talk to this host.
    pub(crate) fn config_for(&self, host: &str) -> Result<Arc<ServerConfig>, Error> {
        let mut by_host = self.by_host.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = by_host.get(host) {
            return Ok(config.clone());
        }
        let config = Arc::new(self.config(host)?);
        if by_host.len() >= MOST_HOSTS {
            by_host.clear();
        }
        by_host.insert(host.to_owned(), config.clone());
        Ok(config)
    }

    fn config(&self, host: &str) -> Result<ServerConfig, Error> {
        let mut params = valid(CertificateParams::new([host.to_owned()])?, self.until);
        // A common name has 64 characters at most (RFC 5280, appendix A.1); the host is in the alternative names.
        params.distinguished_name = named(if host.len() <= 64 { host } else { "secretsd" });
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&self.key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            // The authority's own certificate the program has: it would read it and not need it.
            .with_single_cert(vec![leaf.into()], key)?;
        config.ignore_client_order = true;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A program that comes back needs one ticket; each costs every connection.
        config.send_tls13_tickets = 1;
        Ok(config)
    }
}

/// What TLS is done with towards programs, in the order of preference.
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    // Most programs ask for AES-256 first, with which a connection begins by dozens of hashes of SHA-384 at both ends.
    // Processors have instructions for SHA-256, and whatever speaks TLS 1.3 has this suite (RFC 8446, section 9.1).
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider
}

fn valid(mut params: CertificateParams, until: OffsetDateTime) -> CertificateParams {
    params.not_before = OffsetDateTime::now_utc() - BEFORE;
    params.not_after = until;
    // 16 random bytes, of which the first keeps the number positive and not shorter.
    let mut serial = random::bytes::<16>();
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

/// A certificate as text (RFC 7468).
pub(crate) fn pem(der: &[u8]) -> String {
    let mut text = String::new();
    write_pem(&BASE64.encode(der), &mut text);
    text
}

/// Writes a certificate whose bytes are these digits of base64.
pub(crate) fn write_pem(digits: &str, text: &mut String) {
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = digits;
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END CERTIFICATE-----\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_certificate_and_an_address_too() {
        let authority = Authority::new(Keys::new().unwrap(), 3_600).unwrap();
        let first = authority.config_for("api.example.com").unwrap();
        assert!(Arc::ptr_eq(&first, &authority.config_for("api.example.com").unwrap()));
        for host in ["127.0.0.1", "::1", &"a.".repeat(60)[..119]] {
            assert!(authority.config_for(host).is_ok(), "{host}");
        }
        assert!(authority.pem().lines().all(|line| line.len() <= 64));
    }

    #[test]
    fn a_program_that_prefers_sha_384_agrees_on_sha_256() {
        use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
        let authority = Authority::new(Keys::new().unwrap(), 3_600).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority.der.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
        let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let name = "api.example.com".try_into().unwrap();
        let mut program = ClientConnection::new(config.with_no_client_auth().into(), name).unwrap();
        let mut broker = ServerConnection::new(authority.config_for("api.example.com").unwrap()).unwrap();
        while program.is_handshaking() || broker.is_handshaking() {
            let mut sent = Vec::new();
            program.write_tls(&mut sent).unwrap();
            broker.read_tls(&mut sent.as_slice()).unwrap();
            broker.process_new_packets().unwrap();
            sent.clear();
            broker.write_tls(&mut sent).unwrap();
            program.read_tls(&mut sent.as_slice()).unwrap();
            program.process_new_packets().unwrap();
        }
        let suite = program.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(suite, CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(program.peer_certificates().unwrap().len(), 1);
    }
}
