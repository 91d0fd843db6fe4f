// Tables for people.
#pragma once

#include <string>
#include <vector>

#include "cli/output/terminal.h"

namespace crossover::cli {

enum class Align { kLeft, kRight };

struct Column {
  std::string title;
  Align align = Align::kLeft;
  // May be cut with "…" when the terminal is too narrow; columns that are not are never cut.
  bool flexible = false;
};

// Rows under a title line, columns aligned and two blanks apart. Not thread-safe.
class Table {
 public:
  explicit Table(std::vector<Column> columns);

  // As many cells as there are columns; further lines of a cell are not supported.
  void AddRow(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }

  // On a terminal fitted to its width; otherwise as wide as needed. No blanks at line ends. Empty
  // string without rows.
  std::string Render(const Terminal& terminal) const;

 private:
  std::vector<int> Widths(const Terminal& terminal) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Lines "name   value" with the values under each other: what `show` commands print. Pairs with an
// empty value are left out; further lines of a value are indented.
class Details {
 public:
  void Add(std::string name, std::string value);
  // A blank line.
  void Gap();
  std::string Render(const Terminal& terminal) const;

 private:
  std::vector<std::pair<std::string, std::string>> lines_;
};

}  // namespace crossover::cli
