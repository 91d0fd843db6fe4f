// curation.v1.CurationService: translates, and nothing else. Runs are served; the review queue and
// generations are part of the interface and answer UNIMPLEMENTED.
#pragma once

#include "common/rpc/handler.h"
#include "crossover/curation/v1/curation_service.grpc.pb.h"
#include "services/data_curation/domain/run_manager.h"
#include "services/data_curation/transport/run_watch.h"
#include "services/data_curation/transport/unary.h"

namespace crossover::curation {

// Borrows everything.
class CurationServiceImpl final : public v1::CurationService::CallbackService {
 public:
  CurationServiceImpl(rpc::Handler& handler, CurationStore& store, RunManager& runs,
                      RunWatch& watch)
      : handler_(handler), store_(store), runs_(runs), watch_(watch) {}

  CROSSOVER_UNARY(CreateCurationRun, v1::CreateCurationRunRequest, v1::CurationRun)
  CROSSOVER_UNARY(GetCurationRun, v1::GetCurationRunRequest, v1::CurationRun)
  CROSSOVER_UNARY(ListCurationRuns, v1::ListCurationRunsRequest, v1::ListCurationRunsResponse)
  CROSSOVER_UNARY(CancelCurationRun, v1::CancelCurationRunRequest, v1::CurationRun)
  CROSSOVER_UNARY(ResumeCurationRun, v1::ResumeCurationRunRequest, v1::CurationRun)
  CROSSOVER_UNARY(CreateReviewItem, v1::CreateReviewItemRequest, v1::ReviewItem)
  CROSSOVER_UNARY(ListReviewItems, v1::ListReviewItemsRequest, v1::ListReviewItemsResponse)
  CROSSOVER_UNARY(ClaimReviewItem, v1::ClaimReviewItemRequest, v1::ReviewItem)
  CROSSOVER_UNARY(AnnotateReviewItem, v1::AnnotateReviewItemRequest, v1::ReviewItem)
  CROSSOVER_UNARY(CreateGeneration, v1::CreateGenerationRequest, v1::Generation)
  CROSSOVER_UNARY(GetGeneration, v1::GetGenerationRequest, v1::Generation)
  CROSSOVER_UNARY(ListGenerations, v1::ListGenerationsRequest, v1::ListGenerationsResponse)
  CROSSOVER_UNARY(PauseGeneration, v1::PauseGenerationRequest, v1::Generation)
  CROSSOVER_UNARY(ResumeGeneration, v1::ResumeGenerationRequest, v1::Generation)
  CROSSOVER_UNARY(CancelGeneration, v1::CancelGenerationRequest, v1::Generation)

  grpc::ServerWriteReactor<v1::WatchCurationRunResponse>* WatchCurationRun(
      grpc::CallbackServerContext* context, const v1::WatchCurationRunRequest* request) override;

 private:
  absl::Status Answer(absl::StatusOr<RunRecord> run, v1::CurationRun& response);

  rpc::Handler& handler_;
  CurationStore& store_;
  RunManager& runs_;
  RunWatch& watch_;
};

}  // namespace crossover::curation
