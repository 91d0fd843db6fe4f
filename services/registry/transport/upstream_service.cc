#include "services/registry/transport/upstream_service.h"

#include <google/protobuf/util/time_util.h>

#include "absl/strings/match.h"
#include "common/list/resource_name.h"
#include "common/rpc/request_key.h"
#include "common/status/absl_view.h"

namespace crossover::registry {
namespace {

absl::Status CheckUpstream(const v1::Upstream& upstream) {
  if (upstream.kind() == v1::Upstream::KIND_UNSPECIFIED) return FieldRequired("upstream.kind");
  const std::string& url = upstream.base_url();
  if (url.empty()) return FieldRequired("upstream.base_url");
  const bool known = absl::StartsWith(url, "http://") || absl::StartsWith(url, "https://") ||
                     absl::StartsWith(url, "unix:");
  if (!known)
    return FieldInvalid("upstream.base_url", "must begin with https://, http:// or unix:");
  if (absl::EndsWith(url, "/")) return FieldInvalid("upstream.base_url", "must not end with `/`");
  const std::string& credential = upstream.credential_ref();
  const bool is_reference = credential.empty() || absl::StartsWith(credential, "file:/") ||
                            absl::StartsWith(credential, "env:");
  if (!is_reference) {
    return FieldInvalid("upstream.credential_ref",
                        "must be file:/path or env:NAME, never the key itself");
  }
  if (upstream.max_concurrency() < 0 || upstream.tokens_per_minute() < 0) {
    return FieldInvalid("upstream.max_concurrency", "limits must not be negative");
  }
  return absl::OkStatus();
}

absl::Status NoCollections() {
  return NotImplemented("Collections",
                        "retrieval comes later; put the documents that matter into the prompt");
}

}  // namespace

absl::Status UpstreamServiceImpl::EnsureModelServer(const std::string& base_url) {
  const ResourceKey key{Kind::kUpstream, "default", "", "model-server"};
  v1::Upstream upstream;
  upstream.set_kind(v1::Upstream::CROSSOVER);
  upstream.set_base_url(base_url);
  RETURN_IF_ERROR(CheckUpstream(upstream));
  const absl::StatusOr<v1::Upstream> stored = upstreams_.Get(key);
  if (stored.ok() && stored->base_url() == base_url) return absl::OkStatus();
  if (!stored.ok()) return upstreams_.Create(key, upstream, {}).status();
  google::protobuf::FieldMask mask;
  mask.add_paths("base_url");
  return upstreams_.Update(key, upstream, mask).status();
}

absl::Status UpstreamServiceImpl::DoCreateUpstream(const v1::CreateUpstreamRequest& request,
                                                   v1::Upstream& response) {
  ASSIGN_OR_RETURN(const auto parent, ParseScoped(request.parent(), "projects/*", "parent"));
  RETURN_IF_ERROR(list::CheckSlug(request.upstream_id(), "upstream_id"));
  RETURN_IF_ERROR(CheckUpstream(request.upstream()));
  const ResourceKey key{Kind::kUpstream, parent[0], "", request.upstream_id()};
  ASSIGN_OR_RETURN(const RequestKey request_key,
                   rpc::RequestKeyOf(request, rpc::FieldNames::kProto));
  ASSIGN_OR_RETURN(response, upstreams_.Create(key, request.upstream(), request_key));
  return absl::OkStatus();
}

absl::Status UpstreamServiceImpl::DoGetUpstream(const v1::GetUpstreamRequest& request,
                                                v1::Upstream& response) {
  ASSIGN_OR_RETURN(const ResourceKey key, ParseKey(Kind::kUpstream, request.name(), "name"));
  ASSIGN_OR_RETURN(response, upstreams_.Get(key));
  return absl::OkStatus();
}

absl::Status UpstreamServiceImpl::DoListUpstreams(const v1::ListUpstreamsRequest& request,
                                                  v1::ListUpstreamsResponse& response) {
  ASSIGN_OR_RETURN(const auto parent, ParseScoped(request.parent(), "projects/*", "parent"));
  ASSIGN_OR_RETURN(const Listed<v1::Upstream> listed,
                   upstreams_.List(parent[0], "",
                                   {.page_size = request.page_size(),
                                    .page_token = request.page_token(),
                                    .filter = request.filter(),
                                    .order_by = request.order_by()}));
  response.mutable_upstreams()->Assign(listed.records.begin(), listed.records.end());
  response.set_next_page_token(listed.next_page_token);
  return absl::OkStatus();
}

absl::Status UpstreamServiceImpl::DoUpdateUpstream(const v1::UpdateUpstreamRequest& request,
                                                   v1::Upstream& response) {
  ASSIGN_OR_RETURN(const ResourceKey key,
                   ParseKey(Kind::kUpstream, request.upstream().name(), "upstream.name"));
  ASSIGN_OR_RETURN(
      response, upstreams_.Update(key, request.upstream(), request.update_mask(), CheckUpstream));
  return absl::OkStatus();
}

absl::Status UpstreamServiceImpl::DoDeleteUpstream(const v1::DeleteUpstreamRequest& request,
                                                   google::protobuf::Empty&) {
  ASSIGN_OR_RETURN(const ResourceKey key, ParseKey(Kind::kUpstream, request.name(), "name"));
  if (key.id == "model-server") {
    return Error(absl::StatusCode::kFailedPrecondition, "RESOURCE_IN_USE",
                 "upstream model-server always exists");
  }
  return upstreams_.Delete(key, request.etag());
}

absl::Status UpstreamServiceImpl::DoProbeUpstream(const v1::ProbeUpstreamRequest& request,
                                                  v1::ProbeUpstreamResponse& response) {
  ASSIGN_OR_RETURN(const ResourceKey key, ParseKey(Kind::kUpstream, request.name(), "name"));
  ASSIGN_OR_RETURN(const v1::Upstream upstream, upstreams_.Get(key));
  ProbeRequest probe{.base_url = upstream.base_url(),
                     .credential_ref = upstream.credential_ref(),
                     .model = request.model()};
  const absl::StatusOr<ProbeResult> result = prober_.Probe(probe);
  if (!result.ok()) {
    // An upstream that does not answer is what a probe is there to find: the call itself succeeds.
    const std::string error(ToStd(result.status().message()));
    ASSIGN_OR_RETURN(*response.mutable_upstream(), upstreams_.Move(key, "UNHEALTHY", error));
    response.set_error(error);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(*response.mutable_upstream(),
                   upstreams_.Move(key, "READY", "", [&](v1::Upstream& proto) {
                     (*proto.mutable_last_revision())[result->model] = result->revision;
                   }));
  response.mutable_models()->Assign(result->models.begin(), result->models.end());
  *response.mutable_latency() = google::protobuf::util::TimeUtil::MicrosecondsToDuration(
      absl::ToInt64Microseconds(result->latency));
  return absl::OkStatus();
}

absl::Status UpstreamServiceImpl::DoCreateCollection(const v1::CreateCollectionRequest&,
                                                     v1::Collection&) {
  return NoCollections();
}
absl::Status UpstreamServiceImpl::DoGetCollection(const v1::GetCollectionRequest&,
                                                  v1::Collection&) {
  return NoCollections();
}
absl::Status UpstreamServiceImpl::DoListCollections(const v1::ListCollectionsRequest&,
                                                    v1::ListCollectionsResponse&) {
  return NoCollections();
}
absl::Status UpstreamServiceImpl::DoUpdateCollection(const v1::UpdateCollectionRequest&,
                                                     v1::Collection&) {
  return NoCollections();
}
absl::Status UpstreamServiceImpl::DoDeleteCollection(const v1::DeleteCollectionRequest&,
                                                     google::protobuf::Empty&) {
  return NoCollections();
}
absl::Status UpstreamServiceImpl::DoSearchCollection(const v1::SearchCollectionRequest&,
                                                     v1::SearchCollectionResponse&) {
  return NoCollections();
}

}  // namespace crossover::registry
