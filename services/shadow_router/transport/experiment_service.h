// router.v1.ExperimentService over the control.
#pragma once

#include <string>

#include "common/id/uuid7.h"
#include "common/rpc/handler.h"
#include "crossover/router/v1/experiment_service.grpc.pb.h"
#include "services/shadow_router/domain/control.h"
#include "services/shadow_router/domain/store.h"
#include "services/shadow_router/transport/experiment_watchers.h"

namespace crossover::router {

// Thread-safe. Borrows everything.
class ExperimentService final : public ::crossover::router::v1::ExperimentService::CallbackService {
 public:
  struct Deps {
    RouterStore& store;
    ExperimentControl& control;
    ExperimentWatchers& watchers;
    UuidGenerator& ids;
    Clock& clock;
    rpc::Handler& handler;
  };
  explicit ExperimentService(Deps deps) : deps_(deps) {}

  grpc::ServerUnaryReactor* CreateExperiment(grpc::CallbackServerContext* context,
                                             const v1::CreateExperimentRequest* request,
                                             v1::Experiment* response) override;
  grpc::ServerUnaryReactor* GetExperiment(grpc::CallbackServerContext* context,
                                          const v1::GetExperimentRequest* request,
                                          v1::Experiment* response) override;
  grpc::ServerUnaryReactor* ListExperiments(grpc::CallbackServerContext* context,
                                            const v1::ListExperimentsRequest* request,
                                            v1::ListExperimentsResponse* response) override;
  grpc::ServerUnaryReactor* UpdateExperiment(grpc::CallbackServerContext* context,
                                             const v1::UpdateExperimentRequest* request,
                                             v1::Experiment* response) override;
  grpc::ServerUnaryReactor* DeleteExperiment(grpc::CallbackServerContext* context,
                                             const v1::DeleteExperimentRequest* request,
                                             google::protobuf::Empty* response) override;
  grpc::ServerUnaryReactor* StartExperiment(grpc::CallbackServerContext* context,
                                            const v1::StartExperimentRequest* request,
                                            v1::Experiment* response) override;
  grpc::ServerUnaryReactor* AdvanceExperiment(grpc::CallbackServerContext* context,
                                              const v1::AdvanceExperimentRequest* request,
                                              v1::Experiment* response) override;
  grpc::ServerUnaryReactor* PauseExperiment(grpc::CallbackServerContext* context,
                                            const v1::PauseExperimentRequest* request,
                                            v1::Experiment* response) override;
  grpc::ServerUnaryReactor* ResumeExperiment(grpc::CallbackServerContext* context,
                                             const v1::ResumeExperimentRequest* request,
                                             v1::Experiment* response) override;
  grpc::ServerUnaryReactor* RollbackExperiment(grpc::CallbackServerContext* context,
                                               const v1::RollbackExperimentRequest* request,
                                               v1::Experiment* response) override;
  grpc::ServerUnaryReactor* AbortExperiment(grpc::CallbackServerContext* context,
                                            const v1::AbortExperimentRequest* request,
                                            v1::Experiment* response) override;
  grpc::ServerUnaryReactor* ExplainExperiment(grpc::CallbackServerContext* context,
                                              const v1::ExplainExperimentRequest* request,
                                              v1::ExplainExperimentResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchExperimentResponse>* WatchExperiment(
      grpc::CallbackServerContext* context, const v1::WatchExperimentRequest* request) override;
  grpc::ServerUnaryReactor* ListTransitions(grpc::CallbackServerContext* context,
                                            const v1::ListTransitionsRequest* request,
                                            v1::ListTransitionsResponse* response) override;

 private:
  // A verb as a unary call. `by`: who, where the call carries no key that says so.
  grpc::ServerUnaryReactor* RunVerb(grpc::CallbackServerContext* context, const char* method,
                                    Verb verb, const std::string& name, const std::string& reason,
                                    const std::string& by, v1::Experiment* response);
  absl::StatusOr<v1::Experiment> Snapshot(const std::string& name);

  Deps deps_;
};

}  // namespace crossover::router
