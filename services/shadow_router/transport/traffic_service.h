// router.v1.TrafficService: pairs, ledger, recordings, feedback. Drift monitors and the audit log
// answer NOT_IMPLEMENTED in this version.
#pragma once

#include "common/id/uuid7.h"
#include "common/rpc/handler.h"
#include "crossover/router/v1/traffic_service.grpc.pb.h"
#include "services/shadow_router/domain/flusher.h"
#include "services/shadow_router/domain/store.h"

namespace crossover::router {

// Thread-safe. Borrows everything.
class TrafficService final : public ::crossover::router::v1::TrafficService::CallbackService {
 public:
  TrafficService(RouterStore& store, Flusher& flusher, UuidGenerator& ids, Clock& clock,
                 rpc::Handler& handler)
      : store_(store), flusher_(flusher), ids_(ids), clock_(clock), handler_(handler) {}

  grpc::ServerUnaryReactor* ListPairs(grpc::CallbackServerContext* context,
                                      const v1::ListPairsRequest* request,
                                      v1::ListPairsResponse* response) override;
  grpc::ServerUnaryReactor* GetPair(grpc::CallbackServerContext* context,
                                    const v1::GetPairRequest* request, v1::Pair* response) override;
  grpc::ServerUnaryReactor* ListLedgerEntries(grpc::CallbackServerContext* context,
                                              const v1::ListLedgerEntriesRequest* request,
                                              v1::ListLedgerEntriesResponse* response) override;
  grpc::ServerUnaryReactor* GetLedger(grpc::CallbackServerContext* context,
                                      const v1::GetLedgerRequest* request,
                                      v1::GetLedgerResponse* response) override;
  grpc::ServerUnaryReactor* ListRecordings(grpc::CallbackServerContext* context,
                                           const v1::ListRecordingsRequest* request,
                                           v1::ListRecordingsResponse* response) override;
  grpc::ServerUnaryReactor* CreateFeedback(grpc::CallbackServerContext* context,
                                           const v1::CreateFeedbackRequest* request,
                                           v1::Feedback* response) override;
  grpc::ServerUnaryReactor* BatchCreateFeedback(grpc::CallbackServerContext* context,
                                                const v1::BatchCreateFeedbackRequest* request,
                                                v1::BatchCreateFeedbackResponse* response) override;
  grpc::ServerUnaryReactor* ListFeedback(grpc::CallbackServerContext* context,
                                         const v1::ListFeedbackRequest* request,
                                         v1::ListFeedbackResponse* response) override;

  // Not served yet: UNIMPLEMENTED `NOT_IMPLEMENTED` with what to do instead.
  grpc::ServerUnaryReactor* GetRecording(grpc::CallbackServerContext* context,
                                         const v1::GetRecordingRequest* request,
                                         v1::Recording* response) override;
  grpc::ServerUnaryReactor* DeleteRecording(grpc::CallbackServerContext* context,
                                            const v1::DeleteRecordingRequest* request,
                                            google::protobuf::Empty* response) override;
  grpc::ServerUnaryReactor* CreateDriftMonitor(grpc::CallbackServerContext* context,
                                               const v1::CreateDriftMonitorRequest* request,
                                               v1::DriftMonitor* response) override;
  grpc::ServerUnaryReactor* GetDriftMonitor(grpc::CallbackServerContext* context,
                                            const v1::GetDriftMonitorRequest* request,
                                            v1::DriftMonitor* response) override;
  grpc::ServerUnaryReactor* ListDriftMonitors(grpc::CallbackServerContext* context,
                                              const v1::ListDriftMonitorsRequest* request,
                                              v1::ListDriftMonitorsResponse* response) override;
  grpc::ServerUnaryReactor* UpdateDriftMonitor(grpc::CallbackServerContext* context,
                                               const v1::UpdateDriftMonitorRequest* request,
                                               v1::DriftMonitor* response) override;
  grpc::ServerUnaryReactor* DeleteDriftMonitor(grpc::CallbackServerContext* context,
                                               const v1::DeleteDriftMonitorRequest* request,
                                               google::protobuf::Empty* response) override;
  grpc::ServerUnaryReactor* ListAuditEntries(grpc::CallbackServerContext* context,
                                             const v1::ListAuditEntriesRequest* request,
                                             v1::ListAuditEntriesResponse* response) override;

 private:
  grpc::ServerUnaryReactor* Unserved(grpc::CallbackServerContext* context, const char* method,
                                     const char* instead);
  absl::StatusOr<v1::Feedback> Record(const std::string& project, const v1::Feedback& proto,
                                      const std::string& id);

  RouterStore& store_;
  Flusher& flusher_;
  UuidGenerator& ids_;
  Clock& clock_;
  rpc::Handler& handler_;
};

}  // namespace crossover::router
