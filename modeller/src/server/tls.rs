//! TLS 1.2 and 1.3 by rustls, in front of the connections of `serve`.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use crate::app::AppBuilder;
use crate::error::{Error, Result};

/// What connections are encrypted with.
#[derive(Clone)]
pub(super) struct Tls(TlsAcceptor);

impl Tls {
    /// With a chain of certificates and the private key of its first one, as PEM (RFC 7468).
    fn new(certificates: &[u8], key: &[u8]) -> Result<Self> {
        let wrong = |what: String| Error::new("INVALID_DECLARATION").status(500).message(what);
        let chain = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| wrong(format!("the certificate is no PEM: {cause}")))?;
        if chain.is_empty() {
            return Err(wrong("there is no certificate in the PEM".into()));
        }
        // Why it cannot be read may quote it.
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| wrong("there is no private key in the PEM".into()))?;
        // Of the process there may be another provider, or none.
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(Error::internal)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|cause| wrong(format!("the certificate and the key cannot be used: {cause}")))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// The encrypted connection; `None` when the handshake fails, or takes longer.
    pub(super) async fn accept(&self, stream: TcpStream, time: Duration) -> Option<TlsStream<TcpStream>> {
        tokio::time::timeout(time, self.0.accept(stream)).await.ok()?.ok()
    }
}

impl AppBuilder {
    /// Encrypted (TLS 1.2 and 1.3, RFC 8446), with a chain of certificates and the private key of its first one, both as PEM
    /// (RFC 7468). It counts where the program serves by [`AppBuilder::serve`] or [`App::serve_on`](crate::App::serve_on). With the
    /// feature `tls` alone.
    ///
    /// ```no_run
    /// # use modeller::prelude::*;
    /// # async fn run() -> Result<()> {
    /// let (certificates, key) = (std::fs::read("cert.pem")?, std::fs::read("key.pem")?);
    /// App::discover().tls(certificates, key).serve("0.0.0.0:443").await
    /// # }
    /// ```
    ///
    /// What cannot be used is told when the application is opened.
    pub fn tls(mut self, certificates: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        match Tls::new(certificates.as_ref(), key.as_ref()) {
            Ok(tls) => self.set(|settings| settings.edge.tls = Some(tls)),
            Err(mistake) => {
                self.mistakes.push(mistake);
                self
            }
        }
    }
}
