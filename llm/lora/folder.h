// Folders that appear whole or not at all.
#pragma once

#include <filesystem>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace crossover::llm {

// Calls write(temporary folder), makes what it wrote durable, and renames the folder to `folder`.
// Nothing is left behind when `write` fails. AlreadyExists("FOLDER_EXISTS") if `folder` is there. A
// disk-full error says how many bytes `needed_bytes` are and how many are free.
absl::Status WriteFolder(
    const std::filesystem::path& folder, int64_t needed_bytes,
    absl::FunctionRef<absl::Status(const std::filesystem::path& temporary)> write);

}  // namespace crossover::llm
