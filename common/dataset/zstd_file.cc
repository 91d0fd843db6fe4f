#include "common/dataset/zstd_file.h"

#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/disk_full.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::dataset::internal {
namespace {

constexpr int kLevel = 3;  // zstd's default: shards are read far more often than written

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

absl::Status WriteError(const std::filesystem::path& path, int error) {
  const std::string message =
      absl::StrCat("cannot write ", path.string(), ": ", std::strerror(error));
  if (IsDiskFull(error)) {
    return Error(
        absl::StatusCode::kResourceExhausted, "DISK_FULL",
        absl::StrCat(message, ". Free some space and run this again; nothing was published"));
  }
  return Error(absl::StatusCode::kUnavailable, "FILE_WRITE_FAILED", message);
}

absl::Status Corrupt(const std::filesystem::path& path, std::string_view what) {
  return Error(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
               absl::StrCat(path.string(), ": ", std::string(what)));
}

absl::Status SyncFolder(const std::filesystem::path& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return WriteError(folder, errno);
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  return result == 0 ? absl::OkStatus() : WriteError(folder, error);
}

absl::Status WriteAll(std::FILE* file, const std::filesystem::path& path, const void* data,
                      size_t size) {
  if (std::fwrite(data, 1, size, file) != size) return WriteError(path, errno);
  return absl::OkStatus();
}

absl::Status FlushAndSync(std::FILE* file, const std::filesystem::path& path) {
  if (std::fflush(file) != 0 || fsync(fileno(file)) != 0) return WriteError(path, errno);
  return SyncFolder(path.parent_path());
}

}  // namespace

absl::Status WriteFileSynced(const std::filesystem::path& path, std::string_view bytes) {
  File file(std::fopen(path.c_str(), "wbe"));
  if (file == nullptr) return WriteError(path, errno);
  RETURN_IF_ERROR(WriteAll(file.get(), path, bytes.data(), bytes.size()));
  return FlushAndSync(file.get(), path);
}

struct ZstdWriter::State {
  std::filesystem::path path;
  File file;
  std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context{ZSTD_createCCtx(), ZSTD_freeCCtx};
  std::vector<char> out = std::vector<char>(ZSTD_CStreamOutSize());
};

ZstdWriter::ZstdWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
ZstdWriter::~ZstdWriter() = default;

absl::StatusOr<std::unique_ptr<ZstdWriter>> ZstdWriter::Create(std::filesystem::path path) {
  auto state = std::make_unique<State>();
  state->path = std::move(path);
  state->file.reset(std::fopen(state->path.c_str(), "wbe"));
  if (state->file == nullptr) return WriteError(state->path, errno);
  ZSTD_CCtx_setParameter(state->context.get(), ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(state->context.get(), ZSTD_c_checksumFlag, 1);
  return std::unique_ptr<ZstdWriter>(new ZstdWriter(std::move(state)));
}

absl::Status ZstdWriter::Compress(std::string_view bytes, bool last) {
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  const ZSTD_EndDirective directive = last ? ZSTD_e_end : ZSTD_e_continue;
  while (true) {
    ZSTD_outBuffer out{state_->out.data(), state_->out.size(), 0};
    const size_t left = ZSTD_compressStream2(state_->context.get(), &out, &in, directive);
    if (ZSTD_isError(left)) {
      return Error(absl::StatusCode::kInternal, "ZSTD",
                   absl::StrCat("zstd: ", ZSTD_getErrorName(left)));
    }
    RETURN_IF_ERROR(WriteAll(state_->file.get(), state_->path, state_->out.data(), out.pos));
    if (last ? left == 0 : in.pos == in.size) return absl::OkStatus();
  }
}

absl::Status ZstdWriter::Write(std::string_view bytes) { return Compress(bytes, false); }

absl::Status ZstdWriter::Close() {
  RETURN_IF_ERROR(Compress("", true));
  return FlushAndSync(state_->file.get(), state_->path);
}

struct ZstdLineReader::State {
  std::filesystem::path path;
  File file;
  std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context{ZSTD_createDCtx(), ZSTD_freeDCtx};
  std::vector<char> in = std::vector<char>(ZSTD_DStreamInSize());
  std::vector<char> out = std::vector<char>(ZSTD_DStreamOutSize());
  ZSTD_inBuffer input{nullptr, 0, 0};
  std::string_view text;    // decompressed and not yet handed out; points into `out`
  bool frame_ended = true;  // false inside a frame: the end of the file would be a cut
};

ZstdLineReader::ZstdLineReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
ZstdLineReader::~ZstdLineReader() = default;

absl::StatusOr<std::unique_ptr<ZstdLineReader>> ZstdLineReader::Open(std::filesystem::path path) {
  auto state = std::make_unique<State>();
  state->path = std::move(path);
  state->file.reset(std::fopen(state->path.c_str(), "rbe"));
  if (state->file == nullptr) return Corrupt(state->path, std::strerror(errno));
  return std::unique_ptr<ZstdLineReader>(new ZstdLineReader(std::move(state)));
}

absl::StatusOr<bool> ZstdLineReader::Fill() {
  State& s = *state_;
  while (true) {
    if (s.input.pos == s.input.size) {
      s.input = {s.in.data(), std::fread(s.in.data(), 1, s.in.size(), s.file.get()), 0};
      if (std::ferror(s.file.get()) != 0) return Corrupt(s.path, "cannot be read");
      if (s.input.size == 0) {
        if (!s.frame_ended) return Corrupt(s.path, "ends in the middle: the file was cut");
        return false;
      }
    }
    ZSTD_outBuffer output{s.out.data(), s.out.size(), 0};
    const size_t result = ZSTD_decompressStream(s.context.get(), &output, &s.input);
    if (ZSTD_isError(result)) return Corrupt(s.path, ZSTD_getErrorName(result));
    s.frame_ended = result == 0;
    s.text = {s.out.data(), output.pos};
    if (output.pos > 0) return true;
  }
}

absl::StatusOr<bool> ZstdLineReader::Next(std::string& line) {
  line.clear();
  bool any = false;
  while (true) {
    if (state_->text.empty()) {
      ASSIGN_OR_RETURN(const bool more, Fill());
      if (!more) return any;
    }
    any = true;
    const size_t end = state_->text.find('\n');
    line.append(state_->text.substr(0, end));
    if (end == std::string_view::npos) {
      state_->text = {};
      continue;
    }
    state_->text.remove_prefix(end + 1);
    return true;
  }
}

}  // namespace crossover::dataset::internal
