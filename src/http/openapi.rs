//! The API's description: the errors that routes share, in one place, so that no route omits them.
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response};

use super::limits;

/// The media type of every error.
const PROBLEM: &str = "application/problem+json";

/// Adds to each route the errors that it shares with others, and gives every error its media type
/// and schema.
pub fn with_shared_errors(mut api: OpenApi) -> OpenApi {
    for item in api.paths.paths.values_mut() {
        let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        methods.into_iter().flatten().for_each(add_shared_errors);
    }
    api
}

/// Adds the errors of a route, by whether it has a body, has a parameter in its path, or needs a
/// visitor.
fn add_shared_errors(route: &mut Operation) {
    let has_body = route.request_body.is_some();
    let has_path_parameter = route.parameters.iter().flatten().any(|parameter| match parameter {
        RefOr::T(parameter) => parameter.parameter_in == ParameterIn::Path,
        RefOr::Ref(_) => false,
    });
    let is_for_visitors = !route.tags.iter().flatten().any(|tag| tag == "site");
    let too_long = format!("`too_long`: the body is larger than {} KiB.", limits::MAX_BODY_BYTES / 1024);
    let shared = [
        ("400", true, "`bad_frame`: the request does not have the documented shape."),
        ("401", is_for_visitors, "`session_ended`: the cookie names no visitor; `GET /me` creates one."),
        (
            "403",
            is_for_visitors,
            "`banned`, or `forbidden`: not allowed, or a write that does not come from this site.",
        ),
        ("404", has_path_parameter, "`not_found`: it does not exist, or the visitor has no access to it."),
        ("408", has_body, "`bad_frame`: the body did not arrive in time."),
        ("411", has_body, "`bad_frame`: the body has no length."),
        ("413", true, too_long.as_str()),
        ("415", true, "`bad_frame`: the body is not JSON, or is compressed."),
        ("421", true, "`not_found`: the host is not this site's."),
        ("422", has_body, "`too_long`, or `bad_payload`: a field of the body is refused."),
        ("429", true, "`rate_limited`: too many requests; `retry_after_ms` is the time to wait."),
        ("500", true, "`internal`: the server failed."),
        ("503", true, "`unavailable`: nothing was lost; try again later."),
    ];
    for (status, applies, description) in shared {
        if applies && !route.responses.responses.contains_key(status) {
            route.responses.responses.insert(status.to_owned(), RefOr::T(Response::new(description)));
        }
    }
    for (status, response) in &mut route.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
        {
            response.content.clear();
            response.content.insert(PROBLEM.to_owned(), RefOr::T(Content::new(Some(Ref::from_schema_name("Problem")))));
        }
    }
}
