//! An S3 server that keeps objects as files, checks every signature, and remembers what it was asked. As Amazon's does, it
//! refuses a request that brings two credentials.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub const KEY: &str = "AKIAEXAMPLE";
pub const SECRET: &str = "a/secret+that=nobody";

pub struct S3Server {
    root: TempDir,
    pub url: String,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl S3Server {
    /// With one bucket, `bucket`.
    pub async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("bucket")).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(root.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().to_string();
        let url = format!("http://{own}");
        let asked: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, seen, own) = (service.clone(), Arc::clone(&seen), own.clone());
                let answer = service_fn(move |mut request: hyper::Request<Incoming>| {
                    name_port(&mut request, &own);
                    let uri = request.uri();
                    seen.lock().unwrap().push((request.method().to_string(), uri.to_string()));
                    let answering =
                        (!has_two_credentials(&request)).then(|| Service::call(&service, request));
                    async move {
                        match answering {
                            Some(answer) => answer.await,
                            None => Ok(only_one_allowed()),
                        }
                    }
                });
                let connection = Builder::new(TokioExecutor::new());
                tokio::spawn(async move {
                    let _ = connection.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Self { root, url, asked }
    }

    /// Where an object lies.
    pub fn object(&self, key: &str) -> PathBuf {
        self.root.path().join("bucket").join(key)
    }

    /// Parts of uploads that are not complete.
    pub fn leftovers(&self) -> usize {
        let names = fs::read_dir(self.root.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().contains(".part-")).count()
    }

    /// How often it was asked so, since the last time that this was asked.
    pub fn asked(&self, method: &str) -> usize {
        let mut asked = self.asked.lock().unwrap();
        let before = asked.len();
        asked.retain(|(of, _)| of != method);
        before - asked.len()
    }
}

/// wget2 1.99 leaves the port out of `Host`, which is signed. A bucket in the world has the scheme's own, which nobody names.
fn name_port(request: &mut hyper::Request<Incoming>, own: &str) {
    let (address, _) = own.split_once(':').unwrap();
    if let Some(host) = request.headers_mut().get_mut("host").filter(|host| *host == address) {
        *host = own.parse().unwrap();
    }
}

fn has_two_credentials(request: &hyper::Request<Incoming>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.contains("X-Amz-Signature=") && request.headers().contains_key("authorization")
}

/// What Amazon S3 says then.
fn only_one_allowed() -> hyper::Response<s3s::Body> {
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism \
        allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header \
        should be specified</Message></Error>";
    let mut response = hyper::Response::new(s3s::Body::from(body.to_owned()));
    *response.status_mut() = hyper::StatusCode::BAD_REQUEST;
    response
}
