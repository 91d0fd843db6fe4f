// registry.v1.UpstreamService. Upstreams are served; collections are part of the interface and
// answer UNIMPLEMENTED until retrieval exists.
#pragma once

#include "common/rpc/handler.h"
#include "crossover/registry/v1/upstream_service.grpc.pb.h"
#include "services/registry/domain/upstream_prober.h"
#include "services/registry/transport/documents.h"
#include "services/registry/transport/unary.h"

namespace crossover::registry {

// Borrows everything.
class UpstreamServiceImpl final : public v1::UpstreamService::CallbackService {
 public:
  UpstreamServiceImpl(rpc::Handler& handler, RegistryStore& store, UpstreamProber& prober)
      : handler_(handler),
        upstreams_(store, Kind::kUpstream, "READY", {"state", "kind", "labels.*"}),
        prober_(prober) {}

  CROSSOVER_UNARY(CreateUpstream, v1::CreateUpstreamRequest, v1::Upstream)
  CROSSOVER_UNARY(GetUpstream, v1::GetUpstreamRequest, v1::Upstream)
  CROSSOVER_UNARY(ListUpstreams, v1::ListUpstreamsRequest, v1::ListUpstreamsResponse)
  CROSSOVER_UNARY(UpdateUpstream, v1::UpdateUpstreamRequest, v1::Upstream)
  CROSSOVER_UNARY(DeleteUpstream, v1::DeleteUpstreamRequest, google::protobuf::Empty)
  CROSSOVER_UNARY(ProbeUpstream, v1::ProbeUpstreamRequest, v1::ProbeUpstreamResponse)
  CROSSOVER_UNARY(CreateCollection, v1::CreateCollectionRequest, v1::Collection)
  CROSSOVER_UNARY(GetCollection, v1::GetCollectionRequest, v1::Collection)
  CROSSOVER_UNARY(ListCollections, v1::ListCollectionsRequest, v1::ListCollectionsResponse)
  CROSSOVER_UNARY(UpdateCollection, v1::UpdateCollectionRequest, v1::Collection)
  CROSSOVER_UNARY(DeleteCollection, v1::DeleteCollectionRequest, google::protobuf::Empty)
  CROSSOVER_UNARY(SearchCollection, v1::SearchCollectionRequest, v1::SearchCollectionResponse)

  // Makes `projects/default/upstreams/model-server` point to this URL, creating it if it is not
  // there.
  absl::Status EnsureModelServer(const std::string& base_url);

 private:
  rpc::Handler& handler_;
  Documents<v1::Upstream> upstreams_;
  UpstreamProber& prober_;
};

}  // namespace crossover::registry
