// router.v1.RouteService over the store.
#pragma once

#include "common/rpc/handler.h"
#include "crossover/router/v1/route_service.grpc.pb.h"
#include "services/shadow_router/domain/control.h"
#include "services/shadow_router/domain/store.h"

namespace crossover::router {

// Thread-safe. Borrows everything. After each change the routing table is read again, so that the
// next request sees it.
class RouteService final : public ::crossover::router::v1::RouteService::CallbackService {
 public:
  RouteService(RouterStore& store, ExperimentControl& control, Clock& clock, rpc::Handler& handler)
      : store_(store), control_(control), clock_(clock), handler_(handler) {}

  grpc::ServerUnaryReactor* CreateRoute(grpc::CallbackServerContext* context,
                                        const v1::CreateRouteRequest* request,
                                        v1::Route* response) override;
  grpc::ServerUnaryReactor* GetRoute(grpc::CallbackServerContext* context,
                                     const v1::GetRouteRequest* request,
                                     v1::Route* response) override;
  grpc::ServerUnaryReactor* ListRoutes(grpc::CallbackServerContext* context,
                                       const v1::ListRoutesRequest* request,
                                       v1::ListRoutesResponse* response) override;
  grpc::ServerUnaryReactor* UpdateRoute(grpc::CallbackServerContext* context,
                                        const v1::UpdateRouteRequest* request,
                                        v1::Route* response) override;
  grpc::ServerUnaryReactor* DeleteRoute(grpc::CallbackServerContext* context,
                                        const v1::DeleteRouteRequest* request,
                                        google::protobuf::Empty* response) override;

 private:
  RouterStore& store_;
  ExperimentControl& control_;
  Clock& clock_;
  rpc::Handler& handler_;
};

}  // namespace crossover::router
