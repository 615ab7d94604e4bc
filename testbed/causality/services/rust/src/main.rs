// SPDX-License-Identifier: Apache-2.0

//! axum and reqwest on tokio's threads; calls at the same time are futures of one
//! task, joined.
mod plan;

use axum::{body::Bytes, extract::State, http::StatusCode, http::Uri, Router};
use futures_util::future::join_all;
use std::{collections::HashMap, env, sync::Arc};

struct Service {
    client: reqwest::Client,
    peers: HashMap<String, String>,
}

impl Service {
    async fn call(&self, call: &plan::Call) -> Result<(), String> {
        if !call.delay.is_zero() {
            tokio::time::sleep(call.delay).await;
        }
        let Some(url) = &call.url else { return Ok(()) };
        let request = match call.size {
            0 => self.client.get(url),
            size => self.client.post(url).body(vec![b'x'; size]),
        };
        let response = request.send().await.map_err(|e| format!("{url}: {e:?}"))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|e| format!("{url}: {e:?}"))?;
        if status == StatusCode::OK {
            return Ok(());
        }
        Err(format!("{url}: {}", String::from_utf8_lossy(&body)))
    }

    async fn handle(State(service): State<Arc<Service>>, uri: Uri, _body: Bytes) -> (StatusCode, Vec<u8>) {
        let failed = |e: String| (StatusCode::INTERNAL_SERVER_ERROR, format!("rust: {e}").into_bytes());
        let Some(task) = plan::parse(uri.path(), &service.peers) else {
            return failed(format!("path {uri}"));
        };
        for step in &task.steps {
            let results = join_all(step.iter().map(|call| service.call(call))).await;
            if let Err(e) = results.into_iter().collect::<Result<(), String>>() {
                return failed(e);
            }
        }
        (StatusCode::OK, vec![b'x'; task.out])
    }
}

#[tokio::main]
async fn main() {
    let port = env::var("PORT").expect("PORT");
    let service = Service { client: reqwest::Client::new(), peers: plan::peers(&env::var("PEERS").expect("PEERS")) };
    let app = Router::new().fallback(Service::handle).with_state(Arc::new(service));
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await.expect("bind");
    println!("listening {port}");
    axum::serve(listener, app).await.expect("serve");
}
