// The methods of DatasetService that read rows.
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/dataset/leaf.h"
#include "common/dataset/row_json.h"
#include "common/list/page.h"
#include "common/list/resource_name.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/store_errors.h"
#include "services/data_curation/transport/convert.h"
#include "services/data_curation/transport/dataset_service.h"
#include "services/data_curation/transport/names.h"

namespace crossover::curation {
namespace {

constexpr size_t kExportPiece = size_t{1} << 20;

absl::StatusOr<int64_t> PositionOf(const std::string& token, const std::string& query) {
  ASSIGN_OR_RETURN(const std::string text, list::ParsePageToken(token, query));
  int64_t position = 0;
  if (text.empty() || absl::SimpleAtoi(text, &position)) return position;
  return Error(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID", "token is damaged");
}

absl::StatusOr<RowOrder> OrderOf(const std::string& order_by) {
  if (order_by.empty() || order_by == "row_digest") return RowOrder::kDigest;
  if (order_by == "origin.line") return RowOrder::kLine;
  return Error(absl::StatusCode::kInvalidArgument, "FILTER_INVALID",
               "order_by must be row_digest or origin.line");
}

absl::StatusOr<std::string> LineOf(const RowView& view,
                                   v1::ExportDatasetVersionRequest::Format format) {
  if (format == v1::ExportDatasetVersionRequest::CROSSOVER_JSONL)
    return dataset::LeafBytes(view.row);
  dataset::Row row;
  row.messages = view.row.messages;
  row.tools = view.row.tools;
  row.response_format = view.row.response_format;
  row.rejected = view.row.rejected;
  return dataset::RowToJson(row);
}

}  // namespace

absl::Status DatasetServiceImpl::ForEachRow(const std::string& parent, const std::string& order_by,
                                            int64_t position, const RowReader::Visit& visit) {
  ASSIGN_OR_RETURN(const RowOrder order, OrderOf(order_by));
  if (list::ParseName(parent, kRunPattern).ok()) {
    ASSIGN_OR_RETURN(const auto name, ParseScoped(parent, kRunPattern, "parent"));
    ASSIGN_OR_RETURN(const RunRecord run, store_.GetRun(name[0], name[2]));
    return rows_.ForEachRow(run, order, position, visit);
  }
  ASSIGN_OR_RETURN(const VersionRecord version, FindVersion(parent, "parent"));
  if (order == RowOrder::kLine) {
    return Error(absl::StatusCode::kInvalidArgument, "FILTER_INVALID",
                 "order_by: rows of a sealed version are in order of row_digest");
  }
  return rows_.ForEachRow(version, position, visit);
}

absl::Status DatasetServiceImpl::DoListRows(const v1::ListRowsRequest& request,
                                            v1::ListRowsResponse& response) {
  ASSIGN_OR_RETURN(const int size, list::PageSize(request.page_size()));
  ASSIGN_OR_RETURN(const list::Filter filter,
                   list::ParseFilter(request.filter(), RowFilterFields()));
  const std::string query =
      absl::StrCat(request.parent(), "|", request.filter(), "|", request.order_by());
  ASSIGN_OR_RETURN(const int64_t position, PositionOf(request.page_token(), query));
  return ForEachRow(request.parent(), request.order_by(), position,
                    [&](int64_t at, const RowView& view) -> absl::StatusOr<bool> {
                      if (!MatchesRow(filter, view)) return true;
                      if (response.rows_size() == size) {
                        response.set_next_page_token(list::MakePageToken(absl::StrCat(at), query));
                        return false;
                      }
                      ASSIGN_OR_RETURN(*response.add_rows(), ToProto(view, request.parent()));
                      return true;
                    });
}

absl::Status DatasetServiceImpl::DoGetRow(const v1::GetRowRequest& request, v1::Row& response) {
  const size_t rows = request.name().rfind("/rows/");
  if (rows == std::string::npos) {
    return list::ParseName(request.name(), "projects/*/datasets/*/versions/*/rows/*").status();
  }
  const std::string parent = request.name().substr(0, rows);
  const std::string digest = request.name().substr(rows + 6);
  bool found = false;
  RETURN_IF_ERROR(
      ForEachRow(parent, "", 0, [&](int64_t, const RowView& view) -> absl::StatusOr<bool> {
        if (view.row_digest != digest) return view.row_digest < digest;
        ASSIGN_OR_RETURN(response, ToProto(view, parent));
        found = true;
        return false;
      }));
  return found ? absl::OkStatus() : NotFound("row", request.name());
}

absl::Status DatasetServiceImpl::DoDiffDatasetVersions(
    const v1::DiffDatasetVersionsRequest& request, v1::DiffDatasetVersionsResponse& response) {
  using Change = v1::DiffDatasetVersionsResponse::Change;
  ASSIGN_OR_RETURN(const int size, list::PageSize(request.page_size()));
  ASSIGN_OR_RETURN(const VersionRecord newer, FindVersion(request.name(), "name"));
  ASSIGN_OR_RETURN(const VersionRecord older, FindVersion(request.base(), "base"));
  const std::string query = absl::StrCat(request.name(), "|", request.base());
  ASSIGN_OR_RETURN(const int64_t position, PositionOf(request.page_token(), query));
  ASSIGN_OR_RETURN(const std::vector<RowChangeBetween> changes, DiffVersions(rows_, older, newer));
  using Kind = RowChangeBetween::Kind;
  int64_t counts[3] = {};
  for (size_t i = 0; i < changes.size(); ++i) {
    const RowChangeBetween& change = changes[i];
    ++counts[static_cast<int>(change.kind)];
    if (static_cast<int64_t>(i) < position || response.changes_size() == size) continue;
    Change& item = *response.add_changes();
    item.set_kind(change.kind == Kind::kAdded     ? Change::ADDED
                  : change.kind == Kind::kRemoved ? Change::REMOVED
                                                  : Change::CHANGED);
    item.set_row_digest(change.row_digest);
    item.set_old_split(change.old_split);
    item.set_new_split(change.new_split);
  }
  response.set_added(counts[static_cast<int>(Kind::kAdded)]);
  response.set_removed(counts[static_cast<int>(Kind::kRemoved)]);
  response.set_changed(counts[static_cast<int>(Kind::kChanged)]);
  const int64_t next = position + response.changes_size();
  if (next < static_cast<int64_t>(changes.size())) {
    response.set_next_page_token(list::MakePageToken(absl::StrCat(next), query));
  }
  return absl::OkStatus();
}

grpc::ServerWriteReactor<v1::ExportDatasetVersionResponse>*
DatasetServiceImpl::ExportDatasetVersion(grpc::CallbackServerContext* context,
                                         const v1::ExportDatasetVersionRequest* request) {
  return handler_.ServerStream<v1::ExportDatasetVersionResponse>(
      context, "ExportDatasetVersion",
      [this, request](const rpc::Call&, rpc::Stream<v1::ExportDatasetVersionResponse> stream) {
        stream.Finish(DoExport(*request, stream));
      });
}

absl::Status DatasetServiceImpl::DoExport(
    const v1::ExportDatasetVersionRequest& request,
    const rpc::Stream<v1::ExportDatasetVersionResponse>& stream) {
  ASSIGN_OR_RETURN(const VersionRecord version, FindVersion(request.name(), "name"));
  v1::ExportDatasetVersionResponse piece;
  const auto send = [&]() -> absl::Status {
    if (!stream.WriteBlocking(std::exchange(piece, {})))
      return absl::CancelledError("the client has gone");
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(
      rows_.ForEachRow(version, 0, [&](int64_t, const RowView& view) -> absl::StatusOr<bool> {
        if (!request.split().empty() && view.row.split != request.split()) return true;
        ASSIGN_OR_RETURN(const std::string line, LineOf(view, request.format()));
        piece.mutable_data()->append(line).append("\n");
        if (piece.data().size() >= kExportPiece) RETURN_IF_ERROR(send());
        return true;
      }));
  return piece.data().empty() ? absl::OkStatus() : send();
}

grpc::ServerWriteReactor<v1::StreamRowsResponse>* DatasetServiceImpl::StreamRows(
    grpc::CallbackServerContext* context, const v1::StreamRowsRequest* request) {
  return handler_.ServerStream<v1::StreamRowsResponse>(
      context, "StreamRows",
      [this, request](const rpc::Call&, rpc::Stream<v1::StreamRowsResponse> stream) {
        stream.Finish(DoStreamRows(*request, stream));
      });
}

absl::Status DatasetServiceImpl::DoStreamRows(const v1::StreamRowsRequest& request,
                                              const rpc::Stream<v1::StreamRowsResponse>& stream) {
  ASSIGN_OR_RETURN(const list::Filter filter,
                   list::ParseFilter(request.filter(), RowFilterFields()));
  const std::string query = absl::StrCat(request.parent(), "|", request.filter());
  ASSIGN_OR_RETURN(const int64_t position, PositionOf(request.resume_token(), query));
  return ForEachRow(request.parent(), "", position,
                    [&](int64_t at, const RowView& view) -> absl::StatusOr<bool> {
                      if (!MatchesRow(filter, view)) return true;
                      v1::StreamRowsResponse item;
                      item.set_resume_token(list::MakePageToken(absl::StrCat(at + 1), query));
                      ASSIGN_OR_RETURN(*item.mutable_row(), ToProto(view, request.parent()));
                      if (!stream.WriteBlocking(std::move(item)))
                        return absl::CancelledError("the client has gone");
                      return true;
                    });
}

}  // namespace crossover::curation
