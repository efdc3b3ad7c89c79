//! hudsucker on this port of 127.0.0.1, its authority's certificate in this file: `hudsucker PORT FILE`. Puts what VALUE is
//! into the place of what PLACEHOLDER is.

use hudsucker::certificate_authority::RcgenAuthority;
use hudsucker::hyper::header::{AUTHORIZATION, HeaderValue};
use hudsucker::hyper::Request;
use hudsucker::{Body, HttpContext, HttpHandler, Proxy, RequestOrResponse};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::ring;

#[derive(Clone)]
struct Place {
    placeholder: HeaderValue,
    value: HeaderValue,
}

impl HttpHandler for Place {
    async fn handle_request(&mut self, _: &HttpContext, mut request: Request<Body>) -> RequestOrResponse {
        if request.headers().get(AUTHORIZATION) == Some(&self.placeholder) {
            request.headers_mut().insert(AUTHORIZATION, self.value.clone());
        }
        request.into()
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (port, file) = (arguments[1].parse::<u16>().unwrap(), &arguments[2]);
    let variable = |name: &str| format!("Bearer {}", std::env::var(name).unwrap()).parse().unwrap();
    let place = Place { placeholder: variable("PLACEHOLDER"), value: variable("VALUE") };

    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "hudsucker");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(file, certificate.pem()).unwrap();
    let authority = RcgenAuthority::new(Issuer::new(params, key), 1_000, ring::default_provider());

    let builder = hyper_rustls::HttpsConnectorBuilder::new();
    let builder = builder.with_provider_and_native_roots(ring::default_provider()).unwrap();
    let connector = builder.https_or_http().enable_http1().build();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let proxy = Proxy::builder()
            .with_addr(([127, 0, 0, 1], port).into())
            .with_ca(authority)
            .with_http_connector(connector)
            .with_http_handler(place)
            .build()
            .unwrap();
        proxy.start().await.unwrap();
    });
}
