//! One call from `send` to the head of its final response: redirects, the one retry on a fresh
//! connection, and the repetition without `Expect`.

use http::header::{self, HeaderMap};
use http::{Method, StatusCode};
use ropewalk_rt::time::Instant;
use url::Url;

use super::body::Body;
use super::connection::{Connection, Exchange, Reply};
use super::error::{Cause, Error, Phase};
use super::pool::Lease;
use super::request::Request;
use super::response::Response;
use super::socket::TimeLimits;
use super::target::{self, Origin};
use super::{Client, redirect};

/// The state of a call between its exchanges.
struct Call<'c> {
    client: &'c Client,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Body,
    limits: TimeLimits,
    expect: bool,
}

/// Runs a call: see [`RequestBuilder::send`](super::RequestBuilder::send).
pub(crate) fn run(client: &Client, request: Request) -> Result<Response, Error> {
    let settings = &client.0.settings;
    // The sum overflows only for timeouts that mean "never".
    let deadline = request
        .timeout
        .and_then(|timeout| Instant::now().checked_add(timeout));
    let mut headers = request.headers;
    // The caller's own `Expect` is carried out, not just passed on.
    let asked = headers.remove(header::EXPECT).is_some();
    let mut call = Call {
        client,
        method: request.method,
        url: request.url,
        headers,
        body: request.body,
        limits: TimeLimits {
            deadline,
            silence: settings.read_timeout,
        },
        expect: asked || settings.expect_continue,
    };
    call.add_defaults(&settings.headers);
    let mut redirects = 0;
    loop {
        let response = call.exchange().map_err(|e| e.with_url(&call.url))?;
        if settings.redirects_max == 0 {
            return Ok(response);
        }
        let hop = redirect::follow(
            &call.url,
            &call.method,
            response.status(),
            response.headers(),
        )?;
        let Some(hop) = hop else { return Ok(response) };
        if redirects == settings.redirects_max {
            let message = format!(
                "more than {redirects} redirects; the next leads to {}",
                hop.url
            );
            return Err(Error::new(Cause::Redirect, Phase::Head, message).with_url(&call.url));
        }
        redirects += 1;
        response.discard();
        call.hop(hop)?;
    }
}

impl Call<'_> {
    /// Adds the default headers the request doesn't set itself.
    fn add_defaults(&mut self, defaults: &HeaderMap) {
        for (name, value) in defaults {
            if !self.headers.contains_key(name) {
                self.headers.insert(name, value.clone());
            }
        }
    }

    /// Turns the call into what the redirect makes of it.
    fn hop(&mut self, mut hop: redirect::Hop) -> Result<(), Error> {
        if hop.keeps_body && !self.body.is_replayable() {
            let message = format!(
                "redirected to {}, and the body came from a reader that can't be read again; \
                 send it from memory, ask first with `expect_continue`, or don't follow redirects",
                hop.url
            );
            return Err(Error::new(Cause::Redirect, Phase::Head, message).with_url(&self.url));
        }
        redirect::strip(&mut self.headers, &self.url, &hop);
        if !hop.keeps_body {
            self.body = Body::empty();
        }
        if let Some(basic) = target::take_userinfo(&mut hop.url) {
            self.headers.insert(header::AUTHORIZATION, basic);
        }
        self.method = hop.method;
        self.url = hop.url;
        Ok(())
    }

    /// Makes one request and gets its response, on a pooled connection if there is one.
    fn exchange(&mut self) -> Result<Response, Error> {
        let shared = &self.client.0;
        let origin = Origin::of(&self.url)?;
        let mut expect = self.expect && !self.body.is_empty();
        let mut lease = shared.pool.lease(&origin, self.limits)?;
        lease
            .connection
            .take_if(|connection| !connection.is_usable(self.limits));
        let mut may_be_stale = lease.connection.is_some();
        loop {
            let connection = self.connected(&origin, &mut lease)?;
            let exchange = Exchange {
                method: &self.method,
                url: &self.url,
                host: &origin,
                headers: &self.headers,
                limits: &shared.settings.limits,
                expect,
            };
            match connection.exchange(&exchange, &mut self.body) {
                Ok(reply) if self.refuses_to_be_asked(expect, &reply) => {
                    // Whether the server has read on is unknown: only a new connection is certain.
                    lease.connection = None;
                    expect = false;
                    may_be_stale = false;
                }
                Ok(reply) => {
                    let remote = connection.remote();
                    let bytes_max = shared.settings.body_bytes_max;
                    return Ok(Response::new(
                        self.url.clone(),
                        remote,
                        reply,
                        lease,
                        bytes_max,
                    ));
                }
                Err(failure)
                    if may_be_stale
                        && failure.nothing_came_back
                        && failure.error.cause() == Cause::Closed
                        && self.may_be_repeated() =>
                {
                    lease.connection = None;
                    may_be_stale = false;
                }
                Err(failure) => return Err(failure.error),
            }
        }
    }

    /// Returns the lease's connection with the call's limits set, opening it if need be.
    fn connected<'l>(
        &self,
        origin: &Origin,
        lease: &'l mut Lease<Connection>,
    ) -> Result<&'l mut Connection, Error> {
        let connection = match lease.connection.take() {
            Some(connection) => connection,
            None => Connection::new(self.client.0.connector.connect(origin, self.limits)?),
        };
        let connection = lease.connection.insert(connection);
        connection.set_limits(self.limits);
        Ok(connection)
    }

    /// Tells whether sending the request twice does the same as sending it once (RFC 9110 §9.2.2),
    /// and its body is there to be sent again.
    fn may_be_repeated(&self) -> bool {
        let idempotent = [Method::GET, Method::HEAD, Method::PUT, Method::DELETE]
            .iter()
            .chain(&[Method::OPTIONS, Method::TRACE])
            .any(|m| *m == self.method);
        idempotent && self.body.is_replayable()
    }

    /// Tells whether the server rejects the question rather than the request (417): the request is
    /// then made without asking.
    fn refuses_to_be_asked(&self, expect: bool, reply: &Reply) -> bool {
        expect && reply.status() == StatusCode::EXPECTATION_FAILED && self.body.is_replayable()
    }
}
