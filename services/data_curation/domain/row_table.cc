#include "services/data_curation/domain/row_table.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/dataset/digest.h"
#include "common/dataset/row_json.h"
#include "common/json/digest.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/mapped_file.h"
#include "services/data_curation/domain/stdio_file.h"

namespace crossover::curation {
namespace {

constexpr std::string_view kThenResume = "resume the run";

struct Record {
  uint64_t offset = 0;
  uint64_t length = 0;
  DigestBytes row_digest;
  DigestBytes input_digest;
};
static_assert(sizeof(Record) == 80);

absl::Status CorruptRows(std::string_view what) {
  return Error(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
               absl::StrCat("stored rows of a curation run: ", std::string(what)));
}

}  // namespace

struct RowTableWriter::Impl {
  std::filesystem::path rows_path;
  std::filesystem::path index_path;
  StdioFile rows;
  StdioFile index;
  uint64_t offset = 0;
};

RowTableWriter::RowTableWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RowTableWriter::~RowTableWriter() = default;

absl::StatusOr<std::unique_ptr<RowTableWriter>> RowTableWriter::Create(
    const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return WriteError(folder, error.value(), kThenResume);
  auto impl = std::make_unique<Impl>();
  impl->rows_path = folder / "rows.jsonl";
  impl->index_path = folder / "rows.idx";
  impl->rows.reset(std::fopen(impl->rows_path.c_str(), "wbe"));
  if (impl->rows == nullptr) return WriteError(impl->rows_path, errno, kThenResume);
  impl->index.reset(std::fopen(impl->index_path.c_str(), "wbe"));
  if (impl->index == nullptr) return WriteError(impl->index_path, errno, kThenResume);
  return std::unique_ptr<RowTableWriter>(new RowTableWriter(std::move(impl)));
}

absl::Status RowTableWriter::Add(const dataset::Row& row) {
  ASSIGN_OR_RETURN(const std::string row_digest, dataset::RowDigest(row));
  ASSIGN_OR_RETURN(const std::string input_digest, dataset::InputDigest(row));
  const std::string line = dataset::RowToJson(row) + "\n";
  Record record{.offset = impl_->offset, .length = line.size() - 1};
  ASSIGN_OR_RETURN(record.row_digest, ParseDigest(row_digest));
  ASSIGN_OR_RETURN(record.input_digest, ParseDigest(input_digest));
  if (std::fwrite(line.data(), 1, line.size(), impl_->rows.get()) != line.size()) {
    return WriteError(impl_->rows_path, errno, kThenResume);
  }
  if (std::fwrite(&record, sizeof(record), 1, impl_->index.get()) != 1)
    return WriteError(impl_->index_path, errno, kThenResume);
  impl_->offset += line.size();
  return absl::OkStatus();
}

absl::Status RowTableWriter::Finish() {
  if (std::fflush(impl_->rows.get()) != 0) return WriteError(impl_->rows_path, errno, kThenResume);
  if (std::fflush(impl_->index.get()) != 0)
    return WriteError(impl_->index_path, errno, kThenResume);
  return absl::OkStatus();
}

struct RowTable::Impl {
  MappedFile rows;
  MappedFile index;
  int64_t size = 0;

  const Record& At(int64_t i) const {
    return reinterpret_cast<const Record*>(index.bytes().data())[i];
  }
};

RowTable::RowTable(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RowTable::~RowTable() = default;

absl::StatusOr<std::unique_ptr<RowTable>> RowTable::Open(const std::filesystem::path& rows_file,
                                                         const std::filesystem::path& index_file) {
  auto impl = std::make_unique<Impl>();
  ASSIGN_OR_RETURN(impl->rows, MappedFile::Open(rows_file));
  ASSIGN_OR_RETURN(impl->index, MappedFile::Open(index_file));
  if (impl->index.bytes().size() % sizeof(Record) != 0) return CorruptRows("the index was cut");
  impl->size = static_cast<int64_t>(impl->index.bytes().size() / sizeof(Record));
  if (impl->size > 0) {
    const Record& last = impl->At(impl->size - 1);
    if (last.offset + last.length >= impl->rows.bytes().size())
      return CorruptRows("the rows were cut");
  }
  return std::unique_ptr<RowTable>(new RowTable(std::move(impl)));
}

int64_t RowTable::size() const { return impl_->size; }

absl::StatusOr<dataset::Row> RowTable::Get(int64_t index) const {
  const Record& record = impl_->At(index);
  const std::string_view rows = impl_->rows.bytes();
  if (record.offset > rows.size() || record.length > rows.size() - record.offset)
    return CorruptRows(absl::StrCat("row ", index, " is said to lie outside of them"));
  absl::StatusOr<dataset::Row> row =
      dataset::ParseInputRow(rows.substr(record.offset, record.length));
  if (!row.ok()) return CorruptRows(absl::StrCat("row ", index, ": ", row.status().message()));
  return row;
}

const DigestBytes& RowTable::RowDigest(int64_t index) const { return impl_->At(index).row_digest; }
const DigestBytes& RowTable::InputDigest(int64_t index) const {
  return impl_->At(index).input_digest;
}

}  // namespace crossover::curation
