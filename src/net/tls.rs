//! Whom a transport trusts and how it shows who it is.
//!
//! The system's certificate authorities, or the ones compiled in when the system has none (a container built from
//! nothing), and beside them the operator's own. No way to switch verification off is offered.

use std::sync::Arc;

use rustls::client::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, crypto};
use secrecy::ExposeSecret;

use super::words::tls_words;
use crate::ports::Outbound;

/// The client side of TLS for these settings.
///
/// The cryptography is named here instead of being installed for the whole process, so that nothing depends on which
/// part starts first.
pub(super) fn client_config(outbound: &Outbound) -> Result<ClientConfig, String> {
    let mut roots = system_roots(rustls_native_certs::load_native_certs().certs);
    if let Some(pem) = &outbound.ca_pem {
        add_authorities(&mut roots, pem)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for TLS 1.2 and 1.3")
        .with_root_certificates(roots);
    let mut config = match &outbound.identity_pem {
        None => config.with_no_client_auth(),
        Some(pem) => {
            let (chain, key) = identity(pem.expose_secret().as_bytes())?;
            config
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("the client certificate and its key: {}", tls_words(&error)))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The roots found on the system; Mozilla's list when there is not one that can be read. Not both: an operator who took
/// an authority out of the system's list does not get it back here.
fn system_roots(found: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found);
    if added == 0 {
        tracing::info!("the system has no certificate authorities; using the list compiled in");
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    roots
}

fn add_authorities(roots: &mut RootCertStore, pem: &str) -> Result<(), String> {
    let mut found = 0_usize;
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| "the certificate authorities: not PEM".to_owned())?;
        found += 1;
        roots
            .add(certificate)
            .map_err(|error| format!("certificate authority number {found}: {}", tls_words(&error)))?;
    }
    match found {
        0 => Err("the certificate authorities: no CERTIFICATE block".to_owned()),
        _ => Ok(()),
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The chain and the key. Errors are in our words: the parser's may quote the text, which is a secret.
fn identity(pem: &[u8]) -> Result<Identity, String> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| "the client certificate: not PEM".to_owned())?;
    if chain.is_empty() {
        return Err("the client certificate: no CERTIFICATE block".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        "the client certificate: no PRIVATE KEY block beside it, or an encrypted one".to_owned()
    })?;
    Ok((chain, key))
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::net::testing::Authority;

    #[test]
    fn a_system_without_authorities_still_trusts_the_public_ones() {
        let compiled_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS.len();
        assert!(compiled_in > 100);
        assert_eq!(system_roots(Vec::new()).len(), compiled_in);
        let unreadable = CertificateDer::from(vec![1, 2, 3]);
        assert_eq!(system_roots(vec![unreadable]).len(), compiled_in);
    }

    #[test]
    fn the_system_s_list_is_not_widened_by_the_one_compiled_in() {
        let own = Authority::new("a company").der();
        assert_eq!(system_roots(vec![own]).len(), 1);
    }

    #[test]
    fn an_authority_of_the_operator_stands_beside_the_system_s() {
        let mut roots = system_roots(Vec::new());
        let before = roots.len();
        let two = Authority::new("one").pem() + &Authority::new("two").pem();
        add_authorities(&mut roots, &two).unwrap();
        assert_eq!(roots.len(), before + 2);
    }

    #[test]
    fn bad_pem_is_named_without_being_quoted() {
        let authority = Authority::new("a company");
        let (certificate, key) = authority.issue("client");
        let (_, other_key) = authority.issue("other");
        let ca = |pem: &str| Outbound { ca_pem: Some(pem.to_owned()), ..Outbound::default() };
        let identity =
            |pem: String| Outbound { identity_pem: Some(SecretString::from(pem)), ..Outbound::default() };
        let broken = "-----BEGIN CERTIFICATE-----\ncanary!\n-----END CERTIFICATE-----\n";
        for (outbound, wanted) in [
            (ca(""), "no CERTIFICATE block"),
            (ca("canary"), "no CERTIFICATE block"),
            (ca(broken), "not PEM"),
            (ca("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "authority number 1"),
            (identity("canary".to_owned()), "no CERTIFICATE block"),
            (identity(certificate.clone()), "no PRIVATE KEY block"),
            (identity(format!("{certificate}{other_key}")), "the client certificate and its key"),
        ] {
            let error = client_config(&outbound).expect_err(wanted);
            assert!(error.contains(wanted), "{error}");
            assert!(!error.contains("canary") && error.len() < 200, "{error}");
        }
        client_config(&identity(format!("{certificate}{key}"))).unwrap();
        client_config(&identity(format!("{key}{certificate}"))).unwrap();
    }
}
