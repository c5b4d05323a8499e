{
  'targets': [
    {
      'target_name': 'kintsugi',
      'sources': [
        'native/addon.cc',
        'native/core/boot-id.cc',
        'native/core/error-name.cc',
        'native/core/file-io.cc',
        'native/core/file-lock.cc',
      ],
      'include_dirs': ['native'],
      'defines': ['NAPI_VERSION=8'],
      'cflags': ['-O2', '-Wall', '-Wextra', '-fvisibility=hidden'],
      'cflags_cc': ['-std=c++17', '-fno-exceptions', '-fno-rtti'],
      'xcode_settings': {
        'CLANG_CXX_LANGUAGE_STANDARD': 'c++17',
        'GCC_ENABLE_CPP_EXCEPTIONS': 'NO',
        'GCC_ENABLE_CPP_RTTI': 'NO',
        'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',
      },
    },
  ],
}
