// curation.v1.DatasetService: translates, and nothing else.
#pragma once

#include "common/rpc/handler.h"
#include "crossover/curation/v1/dataset_service.grpc.pb.h"
#include "services/data_curation/domain/row_reader.h"
#include "services/data_curation/domain/run_manager.h"
#include "services/data_curation/transport/adapter_catalogue.h"
#include "services/data_curation/transport/unary.h"

namespace crossover::curation {

// Borrows everything.
class DatasetServiceImpl final : public v1::DatasetService::CallbackService {
 public:
  DatasetServiceImpl(rpc::Handler& handler, CurationStore& store, RunManager& runs, RowReader& rows,
                     BlobStore& blobs, AdapterCatalogue& adapters, UuidGenerator& ids)
      : handler_(handler),
        store_(store),
        runs_(runs),
        rows_(rows),
        blobs_(blobs),
        adapters_(adapters),
        ids_(ids) {}

  CROSSOVER_UNARY(CreateDataset, v1::CreateDatasetRequest, v1::Dataset)
  CROSSOVER_UNARY(GetDataset, v1::GetDatasetRequest, v1::Dataset)
  CROSSOVER_UNARY(ListDatasets, v1::ListDatasetsRequest, v1::ListDatasetsResponse)
  CROSSOVER_UNARY(UpdateDataset, v1::UpdateDatasetRequest, v1::Dataset)
  CROSSOVER_UNARY(DeleteDataset, v1::DeleteDatasetRequest, google::protobuf::Empty)
  CROSSOVER_UNARY(SealDatasetVersion, v1::SealDatasetVersionRequest, v1::DatasetVersion)
  CROSSOVER_UNARY(GetDatasetVersion, v1::GetDatasetVersionRequest, v1::DatasetVersion)
  CROSSOVER_UNARY(ListDatasetVersions, v1::ListDatasetVersionsRequest,
                  v1::ListDatasetVersionsResponse)
  CROSSOVER_UNARY(DiffDatasetVersions, v1::DiffDatasetVersionsRequest,
                  v1::DiffDatasetVersionsResponse)
  CROSSOVER_UNARY(GetDatasetReport, v1::GetDatasetReportRequest, v1::DatasetReport)
  CROSSOVER_UNARY(ListAdapters, v1::ListAdaptersRequest, v1::ListAdaptersResponse)
  CROSSOVER_UNARY(ListRows, v1::ListRowsRequest, v1::ListRowsResponse)
  CROSSOVER_UNARY(GetRow, v1::GetRowRequest, v1::Row)
  CROSSOVER_UNARY(UpdateRow, v1::UpdateRowRequest, v1::Row)
  CROSSOVER_UNARY(Forget, v1::ForgetRequest, v1::Tombstone)
  CROSSOVER_UNARY(ListTombstones, v1::ListTombstonesRequest, v1::ListTombstonesResponse)

  grpc::ServerWriteReactor<v1::ExportDatasetVersionResponse>* ExportDatasetVersion(
      grpc::CallbackServerContext* context,
      const v1::ExportDatasetVersionRequest* request) override;
  grpc::ServerWriteReactor<v1::StreamRowsResponse>* StreamRows(
      grpc::CallbackServerContext* context, const v1::StreamRowsRequest* request) override;

 private:
  absl::StatusOr<VersionRecord> FindVersion(const std::string& name, std::string_view field);
  // Rows of a run or a version, by the parent's name.
  absl::Status ForEachRow(const std::string& parent, const std::string& order_by, int64_t position,
                          const RowReader::Visit& visit);
  absl::Status DoExport(const v1::ExportDatasetVersionRequest& request,
                        const rpc::Stream<v1::ExportDatasetVersionResponse>& stream);
  absl::Status DoStreamRows(const v1::StreamRowsRequest& request,
                            const rpc::Stream<v1::StreamRowsResponse>& stream);
  absl::StatusOr<std::vector<std::string>> AffectedVersions(const TombstoneRecord& tombstone);

  rpc::Handler& handler_;
  CurationStore& store_;
  RunManager& runs_;
  RowReader& rows_;
  BlobStore& blobs_;
  AdapterCatalogue& adapters_;
  UuidGenerator& ids_;
};

}  // namespace crossover::curation
