#include "services/data_curation/transport/curation_service.h"

#include <utility>

#include "common/rpc/request_key.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/data_curation/transport/convert.h"
#include "services/data_curation/transport/names.h"
#include "services/data_curation/transport/paged.h"

namespace crossover::curation {
namespace {

std::optional<std::string> RunField(const RunRecord& run, const std::string& field) {
  if (field == "state") return std::string(Name(run.state));
  if (field == "recipe_digest") return run.recipe_digest;
  return LabelOf(run.labels, field);
}

absl::Status NoReview() {
  return NotImplemented("the review queue", "filter rows by flags.code and correct the file");
}

absl::Status NoGeneration() {
  return NotImplemented("generation of rows by a teacher",
                        "write rows with your own client and import them");
}

}  // namespace

absl::Status CurationServiceImpl::Answer(absl::StatusOr<RunRecord> run, v1::CurationRun& response) {
  RETURN_IF_ERROR(run.status());
  ASSIGN_OR_RETURN(response, ToProto(*run));
  return absl::OkStatus();
}

absl::Status CurationServiceImpl::DoCreateCurationRun(const v1::CreateCurationRunRequest& request,
                                                      v1::CurationRun& response) {
  ASSIGN_OR_RETURN(const auto parent, ParseScoped(request.parent(), kDatasetPattern, "parent"));
  RunRecord run{.project = parent[0], .dataset = parent[1]};
  ASSIGN_OR_RETURN(run.labels, LabelsFromProto(request.curation_run().labels()));
  for (const v1::RunInput& input : request.curation_run().inputs()) {
    ASSIGN_OR_RETURN(RunInput record, FromProto(input));
    run.inputs.push_back(std::move(record));
  }
  ASSIGN_OR_RETURN(run.recipe, FromProto(request.curation_run().recipe()));
  ASSIGN_OR_RETURN(const RequestKey key, rpc::RequestKeyOf(request, rpc::FieldNames::kJson));
  return Answer(runs_.Create(std::move(run), key, request.validate_only()), response);
}

absl::Status CurationServiceImpl::DoGetCurationRun(const v1::GetCurationRunRequest& request,
                                                   v1::CurationRun& response) {
  ASSIGN_OR_RETURN(const auto name, ParseScoped(request.name(), kRunPattern, "name"));
  return Answer(store_.GetRun(name[0], name[2]), response);
}

absl::Status CurationServiceImpl::DoListCurationRuns(const v1::ListCurationRunsRequest& request,
                                                     v1::ListCurationRunsResponse& response) {
  ASSIGN_OR_RETURN(const auto parent, ParseScoped(request.parent(), kDatasetPattern, "parent"));
  ASSIGN_OR_RETURN(
      const Listed<RunRecord> listed,
      ListFiltered<RunRecord>(
          {parent[0], parent[1], request.page_size(), request.page_token(), request.filter(),
           request.order_by()},
          {"state", "recipe_digest", "labels.*"},
          [this](const PageQuery& query) { return store_.ListRuns(query); }, RunField));
  for (const RunRecord& run : listed.records) {
    ASSIGN_OR_RETURN(*response.add_curation_runs(), ToProto(run));
  }
  response.set_next_page_token(listed.next_page_token);
  return absl::OkStatus();
}

absl::Status CurationServiceImpl::DoCancelCurationRun(const v1::CancelCurationRunRequest& request,
                                                      v1::CurationRun& response) {
  ASSIGN_OR_RETURN(const auto name, ParseScoped(request.name(), kRunPattern, "name"));
  return Answer(store_.CancelRun(name[0], name[2]), response);
}

absl::Status CurationServiceImpl::DoResumeCurationRun(const v1::ResumeCurationRunRequest& request,
                                                      v1::CurationRun& response) {
  ASSIGN_OR_RETURN(const auto name, ParseScoped(request.name(), kRunPattern, "name"));
  return Answer(runs_.Resume(name[0], name[2]), response);
}

grpc::ServerWriteReactor<v1::WatchCurationRunResponse>* CurationServiceImpl::WatchCurationRun(
    grpc::CallbackServerContext* context, const v1::WatchCurationRunRequest* request) {
  return handler_.ServerStream<v1::WatchCurationRunResponse>(
      context, "WatchCurationRun",
      [this, request](const rpc::Call&, rpc::Stream<v1::WatchCurationRunResponse> stream) {
        const auto name = ParseScoped(request->name(), kRunPattern, "name");
        const absl::Status added =
            name.ok() ? watch_.Add((*name)[0], (*name)[2], request->resume_token(), stream)
                      : name.status();
        if (!added.ok()) stream.Finish(added);
      });
}

absl::Status CurationServiceImpl::DoCreateReviewItem(const v1::CreateReviewItemRequest&,
                                                     v1::ReviewItem&) {
  return NoReview();
}
absl::Status CurationServiceImpl::DoListReviewItems(const v1::ListReviewItemsRequest&,
                                                    v1::ListReviewItemsResponse&) {
  return NoReview();
}
absl::Status CurationServiceImpl::DoClaimReviewItem(const v1::ClaimReviewItemRequest&,
                                                    v1::ReviewItem&) {
  return NoReview();
}
absl::Status CurationServiceImpl::DoAnnotateReviewItem(const v1::AnnotateReviewItemRequest&,
                                                       v1::ReviewItem&) {
  return NoReview();
}
absl::Status CurationServiceImpl::DoCreateGeneration(const v1::CreateGenerationRequest&,
                                                     v1::Generation&) {
  return NoGeneration();
}
absl::Status CurationServiceImpl::DoGetGeneration(const v1::GetGenerationRequest&,
                                                  v1::Generation&) {
  return NoGeneration();
}
absl::Status CurationServiceImpl::DoListGenerations(const v1::ListGenerationsRequest&,
                                                    v1::ListGenerationsResponse&) {
  return NoGeneration();
}
absl::Status CurationServiceImpl::DoPauseGeneration(const v1::PauseGenerationRequest&,
                                                    v1::Generation&) {
  return NoGeneration();
}
absl::Status CurationServiceImpl::DoResumeGeneration(const v1::ResumeGenerationRequest&,
                                                     v1::Generation&) {
  return NoGeneration();
}
absl::Status CurationServiceImpl::DoCancelGeneration(const v1::CancelGenerationRequest&,
                                                     v1::Generation&) {
  return NoGeneration();
}

}  // namespace crossover::curation
