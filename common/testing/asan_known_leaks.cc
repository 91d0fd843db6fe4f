// Leaks that are not ours, for LeakSanitizer. Linked into the tests of the asan preset.

extern "C" const char* __lsan_default_suppressions();  // NOLINT: a name of the sanitizer's

// libpqxx 6.4 lets go of a broken connection without the 216 bytes that libpq made of its error.
extern "C" const char* __lsan_default_suppressions() { return "leak:libpqxx\n"; }
